"""Compiled inner loops: built on the first call, kept in numba's cache where there is one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event


class CompiledLoop:
    """A function with one signature, compiled on its first call.

    numba keeps machine code beside the source, in ``NUMBA_CACHE_DIR`` or in the user's cache
    folder. Where none of them can be written the function is compiled in every process.
    """

    def __init__(self, signature: str, function: Callable[..., Any]) -> None:
        self.__doc__ = function.__doc__
        self._signature = signature
        self._function = function
        self._ready: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Call the machine code."""
        if self._ready is None:
            self._ready = self._compile()
        return self._ready(*arguments)

    def _compile(self) -> Callable[..., Any]:
        with event.install_listener("numba:compile", _ANNOUNCER):
            try:
                ready = numba.njit(self._signature, nogil=True, cache=True)(self._function)
            except (RuntimeError, OSError):
                # No folder for the cache, or a full one.
                ready = numba.njit(self._signature, nogil=True)(self._function)
        loop: Callable[..., Any] = ready
        return loop


def compiled(signature: str) -> Callable[[Callable[..., Any]], CompiledLoop]:
    """Decorate a loop with its numba signature.

    Args:
        signature: In numba's notation, for instance ``"i8(i4[::1])"``; arrays are C-contiguous.

    Example:
        >>> @compiled("i8(i8)")
        ... def doubled(number):
        ...     return 2 * number
        >>> doubled(4)
        8
    """
    return lambda function: CompiledLoop(signature, function)


class _Announcer(event.Listener):
    """Says once a process that code is being compiled, because that takes seconds."""

    def __init__(self) -> None:
        self._said = False

    def on_start(self, event: Any) -> None:
        if not self._said:
            self._said = True
            print("Compiling the polygon engine, once: some seconds.", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


_ANNOUNCER = _Announcer()
