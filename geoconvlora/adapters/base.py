"""The interface of an adaptation method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict
from torch import nn

from geoconvlora.errors import ConfigError
from geoconvlora.sam.adaptable import AdaptableBlock, AdaptableEncoder


class Method(BaseModel):
    """An adaptation method; its settings are its fields.

    A subclass says where it hooks into the encoder (:meth:`inject`), which tensors are its own
    (:meth:`trains`) and, where its algebra allows, how it folds into the frozen weights
    (:meth:`merge`). A layer that has an auxiliary loss leaves it in its attribute ``auxiliary``.

    Attributes:
        name: What :func:`geoconvlora.adapters.attach` calls it.
        identity: Whether a fresh adapter leaves the encoder's output unchanged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    identity: ClassVar[bool] = True

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if not cls.__dict__.get("name"):
            raise TypeError(f"{cls.__name__} has no name")

    def inject(self, encoder: AdaptableEncoder) -> None:
        """Add the method's modules to the encoder."""

    def trains(self, name: str) -> bool:
        """Whether a tensor of the encoder, by its name there, belongs to the method."""
        raise NotImplementedError

    def merge(self, encoder: AdaptableEncoder) -> None:
        """Fold the method into the frozen weights.

        Raises:
            ConfigError: Its algebra does not allow it.
        """
        raise ConfigError(f"{self.name} cannot be merged into the frozen weights")


def replace_qkv(
    encoder: AdaptableEncoder, build: Callable[[nn.Linear, AdaptableBlock], nn.Linear]
) -> None:
    """Put ``build(qkv, block)`` in the place of each block's fused query-key-value layer."""
    for block in cast("Iterable[AdaptableBlock]", encoder.blocks):
        block.attn.qkv = build(block.attn.qkv, block)
