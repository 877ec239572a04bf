"""Model files, base weights and the bundled models; cards are read without torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geoconvlora.weights.card import ModelCard
from geoconvlora.weights.catalogue import (
    base_header,
    bundled_models,
    find_base,
    find_model,
    sha256_of,
    sha256_of_model,
)
from geoconvlora.weights.model_file import (
    Model,
    checked_card,
    find_base_of,
    load,
    read_card,
    save_model,
)

if TYPE_CHECKING:
    from geoconvlora.weights.checkpoint import read_checkpoint, save_base

__all__ = [
    "Model",
    "ModelCard",
    "base_header",
    "bundled_models",
    "checked_card",
    "find_base",
    "find_base_of",
    "find_model",
    "load",
    "read_card",
    "read_checkpoint",
    "save_base",
    "save_model",
    "sha256_of",
    "sha256_of_model",
]


def __getattr__(name: str) -> Any:
    if name in {"read_checkpoint", "save_base"}:
        return getattr(import_module("geoconvlora.weights.checkpoint"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
