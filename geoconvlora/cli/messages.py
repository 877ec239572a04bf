"""Warnings for people: one line on stderr instead of a source line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import typer


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show each different warning once, as ``Warning: ...`` on stderr, while the context lasts.

    Not shown is rasterio's remark that a dataset has no geotransform: it is about rasterio's own
    arrays in memory and gets past its own filter when threads meet there. Of a scene without one
    our errors tell.

    Example:
        >>> with warnings_as_lines():
        ...     pass
    """
    shown: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = " ".join(str(message).split())
        if text not in shown and category.__name__ != "NotGeoreferencedWarning":
            shown.add(text)
            typer.secho("Warning: ", fg="yellow", bold=True, nl=False, err=True)
            typer.echo(text, err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
