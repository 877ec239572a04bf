"""Being interrupted: temporary files go, and the user hears what became of the outputs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer


class _Terminated(BaseException):
    """SIGTERM came: from a batch system, from ``timeout``, from a shutdown."""


@contextmanager
def interruptible(*, resumable: bool = False) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM unwind the work, then leave with the exit code that shells expect.

    Args:
        resumable: What is finished was kept: say how to go on.

    Example:
        >>> with interruptible():
        ...     pass
    """
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    except (KeyboardInterrupt, _Terminated) as stop:
        typer.echo("Interrupted: nothing was written under the output's name.", err=True)
        if resumable:
            typer.echo("What was finished is kept: the same command goes on from it.", err=True)
        number = signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT
        raise typer.Exit(128 + number) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise(number: int, frame: FrameType | None) -> None:
    raise _Terminated
