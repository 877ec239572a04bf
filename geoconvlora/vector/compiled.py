"""Loops over pixels and vertices, compiled to machine code on their first call and kept."""

from __future__ import annotations

import hashlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from numba import njit, types
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.extending import typeof_impl


class _Compilable(ABC):
    """A function with one signature, for numba."""

    def __init__(self, signature: str, function: Callable[..., Any]) -> None:
        self.__doc__ = function.__doc__
        self._signature = signature
        self._function = function

    @property
    @abstractmethod
    def machine_code(self) -> Callable[..., Any]:
        """What numba makes of the function."""


class CompiledLoop(_Compilable):
    """A function with one signature; compiled when it is first called, from Python or a loop.

    numba keeps machine code beside the source, in ``NUMBA_CACHE_DIR`` or in the user's cache
    folder. Where none of them can be written the function is compiled in every process.
    """

    def __call__(self, *arguments: Any) -> Any:
        """Call the machine code."""
        return self.machine_code(*arguments)

    @cached_property
    def machine_code(self) -> Callable[..., Any]:
        """What numba makes of the function, for Python and for loops."""
        with event.install_listener("numba:compile", _ANNOUNCER):
            try:
                made = self._compile(keep=True)
            except (RuntimeError, OSError, AttributeError, TypeError):
                # numba found no folder for its cache, or could not write to the one it found, or
                # its cache is made otherwise than `_KeptCode` knows.
                made = self._compile(keep=False)
        loop: Callable[..., Any] = made
        return loop

    def _compile(self, *, keep: bool) -> Any:
        made = njit(nogil=True, no_cfunc_wrapper=True)(self._function)
        if keep:
            made._cache = _KeptCode(self._function)
        return _for_one_signature(made, self._signature)


class LoopPart(_Compilable):
    """A function with one signature that compiled loops call; its code is part of theirs."""

    def __call__(self, *arguments: Any) -> Any:
        """Call the function as Python has it: slow, for tests and debuggers."""
        return self._function(*arguments)

    @cached_property
    def machine_code(self) -> Callable[..., Any]:
        """What numba makes of the function; Python cannot call it."""
        # By itself numba compiles two more functions that translate arguments, and LLVM inlines
        # into loops what it finds worth it: `scan` takes a quarter longer.
        made = njit(nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, forceinline=True)
        part: Callable[..., Any] = _for_one_signature(made(self._function), self._signature)
        return part


def _for_one_signature(function: Any, signature: str) -> Any:
    """Compile; otherwise numba would do it again for each other type: constants are types, too."""
    function.compile(signature)
    function.disable_compile()
    return function


class _KeptCode(FunctionCache):
    """Machine code of a loop on disk."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        # numba looks at the loop's own file only; loops that it calls are part of its code.
        self._cache_file._source_stamp = _sources(function)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Give what was kept, or None.

        numba's own method first loads all that it can compile: half a second, and scipy. Code that
        is compiled already needs the memory of arrays only; compiling loads the rest if it must.
        """
        rtsys.initialize(target)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, target)


def _sources(function: Callable[..., Any]) -> str:
    """Fingerprint of the sources in a function's folder."""
    folder = Path(function.__code__.co_filename).parent
    total = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        total.update(source.read_bytes())
    return total.hexdigest()


def compiled(signature: str) -> Callable[[Callable[..., Any]], CompiledLoop]:
    """Decorate a loop with its signature; it runs without Python's global lock.

    Args:
        signature: In numba's words: ``"void(uint8[:, ::1], int64)"``. Arguments of other types
            are refused.

    Example:
        >>> @compiled("int64(int64)")
        ... def twice(number):
        ...     return number * 2
        >>> twice(4)
        8
    """
    return lambda function: CompiledLoop(signature, function)


def part_of_loops(signature: str) -> Callable[[Callable[..., Any]], LoopPart]:
    """Decorate what only compiled loops call, with its signature.

    Args:
        signature: As for :func:`compiled`. Numbers of other types are converted.

    Example:
        >>> @part_of_loops("int64(int64)")
        ... def twice(number):
        ...     return number * 2
        >>> @compiled("int64(int64)")
        ... def fourfold(number):
        ...     return twice(twice(number))
        >>> fourfold(4)
        16
    """
    return lambda function: LoopPart(signature, function)


@typeof_impl.register(_Compilable)
def _type_of_loop(loop: _Compilable, _context: Any) -> Any:
    """Let one compiled loop call another."""
    return types.Dispatcher(loop.machine_code)


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
