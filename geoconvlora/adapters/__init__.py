"""Ways to adapt a frozen encoder: one method a file, one interface, found by name.

Adding a method is adding a module here that defines one :class:`Method`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar, overload

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from geoconvlora.adapters.base import Method
from geoconvlora.errors import ConfigError
from geoconvlora.sam.adaptable import AdaptableEncoder
from geoconvlora.sam.plain_vit import PlainViTEncoder

__all__ = [
    "Method",
    "adapter_tensor_names",
    "attach",
    "auxiliary_loss",
    "available",
    "expert_usage",
    "method_of",
]

EncoderT = TypeVar("EncoderT", bound=AdaptableEncoder)

NAMES = [
    "decoder-only",
    "bitfit",
    "adapter",
    "sam-adapter",
    "vpt",
    "lst",
    "ssf",
    "lora",
    "conv-lora",
    "full",
]
"""The methods' names, in the order in which tables show them."""


@cache
def _methods() -> dict[str, type[Method]]:
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    found = {method.name: method for method in Method.__subclasses__()}
    return dict(sorted(found.items(), key=lambda item: NAMES.index(item[0])))


def available() -> tuple[str, ...]:
    """Names of the methods that :func:`attach` knows."""
    return tuple(_methods())


@overload
def attach(encoder: EncoderT, method: str, **settings: Any) -> EncoderT: ...


@overload
def attach(encoder: nn.Module, method: str, **settings: Any) -> AdaptableEncoder: ...


def attach(encoder: nn.Module, method: str, **settings: Any) -> AdaptableEncoder:
    """Adapt an encoder in place and freeze what the method does not train.

    Args:
        encoder: A plain encoder: SAM's, or a ``VisionTransformer`` of timm's, which an encoder with
            a new neck takes over (:class:`geoconvlora.sam.PlainViTEncoder`).
        method: A name of :func:`available`.
        **settings: The method's settings, such as ``rank=3, experts=8``.

    Returns:
        The same encoder, or the one that took the ViT over. What trains of it is the method's own
        parameters and what no base weights are for: the patch embedding where bands were added to
        three, the neck of a ViT.

    Raises:
        ConfigError: The method or a setting is unknown or does not work on this encoder, or the
            encoder is adapted already or is of another architecture.

    Example:
        >>> from geoconvlora.sam import load_encoder
        >>> encoder = attach(load_encoder("vit_t"), "conv-lora", rank=3, experts=8)
        >>> sum(p.numel() for p in encoder.parameters() if p.requires_grad)
        36288

        A ViT with weights for 13 bands (here without them), adapted and joined to a decoder:

        >>> from torchgeo.models import vit_small_patch16_224
        >>> from geoconvlora.sam import PromptFreeDecoder, Segmenter
        >>> encoder = attach(vit_small_patch16_224(in_chans=13), "conv-lora")
        >>> decoder = PromptFreeDecoder(encoder.size, classes=3, bands=13)
        >>> segmenter = Segmenter(encoder, decoder)
    """
    if method not in _methods():
        raise ConfigError(f"unknown method {method!r}: available are {', '.join(available())}")
    if not isinstance(encoder, AdaptableEncoder):
        encoder = PlainViTEncoder(encoder)
    if encoder.method is not None:
        raise ConfigError(f"the encoder is adapted already, by {encoder.method.name!r}")
    kind = _methods()[method]
    try:
        chosen = kind(**settings)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ConfigError(
            f"{method} setting {'.'.join(map(str, fault['loc']))!r}: {fault['msg']}; "
            f"known: {', '.join(kind.model_fields) or 'none'}"
        ) from None
    plain = {name for name, _ in encoder.named_parameters()}
    chosen.inject(encoder)
    encoder.added = frozenset(name for name, _ in encoder.named_parameters() if name not in plain)
    # New modules start in training mode, in which a gate is noisy.
    encoder.train(encoder.training)
    encoder.method = chosen
    own = adapter_tensor_names(encoder)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(name in own)
    return encoder


def method_of(encoder: AdaptableEncoder) -> Method:
    """The method that an encoder was adapted by."""
    if encoder.method is None:
        raise ConfigError("the encoder is not adapted: attach a method to it")
    return encoder.method


def adapter_tensor_names(encoder: AdaptableEncoder) -> set[str]:
    """Names, in the encoder's state, of what a model file must hold of it."""
    method = method_of(encoder)
    return {
        name
        for name in encoder.state_dict()
        if method.trains(name) or name.startswith(encoder.fresh)
    }


def auxiliary_loss(module: nn.Module) -> Tensor:
    """Sum of what layers left behind in the last forward pass, to be added to the task's loss.

    Args:
        module: An adapted encoder or whatever contains it.

    Returns:
        A scalar; zero where no layer has an auxiliary loss.
    """
    left = (getattr(m, "auxiliary", None) for m in module.modules())
    losses = [loss for loss in left if isinstance(loss, Tensor)]
    if not losses:
        return torch.zeros((), device=next(module.parameters()).device)
    return torch.stack(losses).sum()


def expert_usage(module: nn.Module) -> Tensor:
    """How often each gate chose each expert in the last forward pass, without waiting for it.

    Add these up over steps to see where a training run sends its maps.

    Args:
        module: An encoder adapted with experts and a gate, or whatever contains it.

    Returns:
        Counts, (layers, M); (0, 0) where no gate has chosen yet.
    """
    left = (getattr(m, "usage", None) for m in module.modules())
    counts = [usage for usage in left if isinstance(usage, Tensor)]
    return torch.stack(counts) if counts else torch.zeros(0, 0)
