"""How the C library shares memory among threads."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Let all threads of this process share two arenas, where the allocator is glibc's.

    Else each thread gets one of its own, which keeps for itself what it once had: 66 of 1,400 MiB
    in ``predict`` at 50,000 columns. What the user set, ``MALLOC_ARENA_MAX``, stays. For processes
    that are ours, not for the library: threads of others may want arenas of their own.

    Example:
        >>> share_arenas()
    """
    if sys.platform != "linux" or "MALLOC_ARENA_MAX" in os.environ:
        return
    # Other C libraries have no such function.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
