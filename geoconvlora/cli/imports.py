"""Imports of a command that take seconds, without a search for garbage that is not there."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Import what stays until the process ends, and let Python's garbage collector pass it over.

    Otherwise it looks at all objects of all modules several times while they are made, and once
    more when the process ends: a quarter of a short command. For commands, which have the process
    to themselves: whatever else is alive in it is passed over, too.

    Example:
        >>> with lasting_imports():
        ...     import geoconvlora.vector
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
    gc.freeze()
