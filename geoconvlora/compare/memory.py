"""How much memory tensors take while something runs, on devices that keep no such account."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class TensorMemory(TorchDispatchMode):
    """Follows the tensors that operations make inside the context, until they are freed.

    Counted are the bytes behind tensors that operators return, those that autograd keeps included.
    Scratch space within one operator is not, nor is what the process holds besides.

    Attributes:
        now: Bytes of the tensors that were made here and are alive.
        peak: The most that ``now`` has been.

    Example:
        >>> import torch
        >>> with TensorMemory() as memory:
        ...     for _ in range(3):
        ...         kept = torch.zeros(1000)
        >>> memory.now
        4000
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operator and look at what it returns."""
        given = {id(storage) for storage in _storages((args, kwargs))}
        made = func(*args, **(kwargs or {}))
        for storage in _storages(made):
            # Views and results in place stand on storage that was there before.
            if id(storage) not in given and id(storage) not in self._known:
                self._follow(storage)
        self.peak = max(self.peak, self.now)
        return made

    def _follow(self, storage: UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()

        def forget(_: object) -> None:
            self.now -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, forget)
        self.now += size


def tensor_bytes(tensors: Iterable[object]) -> int:
    """Bytes behind tensors; shared storage counts once, what is no tensor not at all."""
    return sum(
        storage.nbytes() for storage in {id(s): s for s in _storages(list(tensors))}.values()
    )


def _storages(tree: object) -> list[UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
