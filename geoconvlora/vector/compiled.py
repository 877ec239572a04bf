"""Loops over pixels, compiled to machine code once and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(signature: str) -> Callable[[Loop], Loop]:
    """Compile a function for one signature when its module is imported, and keep the result.

    The machine code is kept beside the module or in numba's cache folder; where neither can be
    written the function is compiled in every process. It runs without Python's global lock.

    Args:
        signature: In numba's words: ``"void(uint8[:, ::1], int64)"``.

    Example:
        >>> @compiled("int64(int64)")
        ... def twice(number):
        ...     return number * 2
        >>> twice(4)
        8
    """

    def compile_once(loop: Loop) -> Loop:
        try:
            return cast(Loop, njit(signature, nogil=True, cache=True)(loop))
        except (RuntimeError, OSError):
            # numba found no folder for its cache, or could not write to the one it found.
            return cast(Loop, njit(signature, nogil=True)(loop))

    return compile_once


@compiled("int64[::1](int64[::1])")
def longer(queue: NDArray[np.int64]) -> NDArray[np.int64]:
    """Copy a queue's pixels to one of twice the room."""
    grown = np.empty(2 * len(queue), np.int64)
    grown[: len(queue)] = queue
    return grown
