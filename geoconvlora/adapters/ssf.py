"""SSF: scale and shift what frozen layers give (Lian et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from geoconvlora.adapters.base import Method
from geoconvlora.errors import ConfigError
from geoconvlora.sam.adaptable import AdaptableBlock, AdaptableEncoder
from geoconvlora.sam.official import LayerNorm2d


class SSF(Method):
    """``gamma * y + beta``, by channel, after the encoder's layers.

    These are the patch embedding and, in every block, both norms, qkv, the attention's projection
    and both layers of the MLP.

    Attributes:
        neck: Also after the neck's two norms.
        init_std: Standard deviation of gamma around 1 and of beta around 0 at the start; 0 leaves
            the frozen output as it is, the source has 0.02.
    """

    name: ClassVar[str] = "ssf"

    neck: bool = False
    init_std: float = Field(default=0.0, ge=0)

    def inject(self, encoder: AdaptableEncoder) -> None:
        """Replace the layers by ones that scale and shift."""
        self._replace(encoder, lambda layer: scaled(layer, self.init_std))

    def trains(self, name: str) -> bool:
        """Gamma and beta."""
        return ".ssf_" in name

    def merge(self, encoder: AdaptableEncoder) -> None:
        """Fold gamma and beta into weights and biases, exactly."""
        self._replace(encoder, lambda layer: cast("Scaled", layer).merged())

    def _replace(self, encoder: AdaptableEncoder, change: Callable[[nn.Module], nn.Module]) -> None:
        owners: list[tuple[nn.Module, str]] = [(encoder.patch_embed, "proj")]
        for block in cast("Iterable[AdaptableBlock]", encoder.blocks):
            owners += [(block, "norm1"), (block.attn, "qkv"), (block.attn, "proj")]
            owners += [(block, "norm2")]
            owners += [(block.mlp, name) for name in block.mlp_layers]
        if self.neck:
            owners += [(encoder.neck, "1"), (encoder.neck, "3")]
        layers = [change(getattr(owner, name)) for owner, name in owners]
        for (owner, name), layer in zip(owners, layers, strict=True):
            setattr(owner, name, layer)


class Scaled(nn.Module):
    """Mixed into a layer with weight and bias, whose first dimension is its output's channels.

    Attributes:
        ssf_scale: gamma, (channels,).
        ssf_shift: beta, (channels,).
    """

    channels_first: ClassVar[bool] = False
    weight: Any
    bias: Any

    def adopt(self, frozen: nn.Module, std: float) -> None:
        """Take over a frozen layer's tensors and start gamma and beta."""
        self.weight, self.bias = cast("Scaled", frozen).weight, cast("Scaled", frozen).bias
        noise = torch.randn_like(self.bias.detach()), torch.randn_like(self.bias.detach())
        self.ssf_scale = nn.Parameter(1 + std * noise[0])
        self.ssf_shift = nn.Parameter(std * noise[1])

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, scaled and shifted."""
        shape = (-1, 1, 1) if self.channels_first else (-1,)
        y: Tensor = super().forward(x)
        return y * self.ssf_scale.view(shape) + self.ssf_shift.view(shape)

    @property
    def at_zero(self) -> Tensor:
        """What a linear layer gives for zeros, which attention pads with."""
        shifted: Tensor = self.bias * self.ssf_scale + self.ssf_shift
        return shifted

    def plain(self) -> nn.Module:
        """A layer of the frozen one's kind, without tensors."""
        raise NotImplementedError

    def merged(self) -> nn.Module:
        """The plain layer that computes the same."""
        layer = self.plain()
        with torch.no_grad():
            scale = self.ssf_scale.view(-1, *[1] * (self.weight.ndim - 1))
            layer.weight = nn.Parameter(self.weight * scale)
            layer.bias = nn.Parameter(self.at_zero)
        return layer


class ScaledLinear(Scaled, nn.Linear):
    """A linear layer, scaled and shifted."""

    def __init__(self, frozen: nn.Linear, std: float) -> None:
        super().__init__(frozen.in_features, frozen.out_features, device="meta")
        self.adopt(frozen, std)

    def plain(self) -> nn.Module:
        """A linear layer of this shape."""
        return nn.Linear(self.in_features, self.out_features, device="meta")


class ScaledConv2d(Scaled, nn.Conv2d):
    """The patch embedding's convolution, scaled and shifted."""

    channels_first = True

    def __init__(self, frozen: nn.Conv2d, std: float) -> None:
        super().__init__(
            frozen.in_channels,
            frozen.out_channels,
            cast("tuple[int, int]", frozen.kernel_size),
            stride=cast("tuple[int, int]", frozen.stride),
            device="meta",
        )
        self.adopt(frozen, std)

    def plain(self) -> nn.Module:
        """A convolution of this shape."""
        return nn.Conv2d(
            self.in_channels,
            self.out_channels,
            cast("tuple[int, int]", self.kernel_size),
            stride=cast("tuple[int, int]", self.stride),
            device="meta",
        )


class ScaledLayerNorm(Scaled, nn.LayerNorm):
    """A block's norm, scaled and shifted."""

    def __init__(self, frozen: nn.LayerNorm, std: float) -> None:
        super().__init__(frozen.normalized_shape, eps=frozen.eps, device="meta")
        self.adopt(frozen, std)

    def plain(self) -> nn.Module:
        """A norm of this shape."""
        return nn.LayerNorm(self.normalized_shape, eps=self.eps, device="meta")


class ScaledLayerNorm2d(Scaled, LayerNorm2d):
    """A norm of the neck, scaled and shifted."""

    channels_first = True

    def __init__(self, frozen: LayerNorm2d, std: float) -> None:
        super().__init__(len(frozen.bias), frozen.eps)
        self.adopt(frozen, std)

    def plain(self) -> nn.Module:
        """A norm of this shape."""
        layer: nn.Module = LayerNorm2d(len(self.bias), self.eps)
        return layer


SCALED: dict[type[nn.Module], Callable[[Any, float], Scaled]] = {
    nn.Linear: ScaledLinear,
    nn.Conv2d: ScaledConv2d,
    nn.LayerNorm: ScaledLayerNorm,
    LayerNorm2d: ScaledLayerNorm2d,
}
"""The scaled kind of each frozen kind."""


def scaled(layer: nn.Module, std: float) -> Scaled:
    """The layer, scaled and shifted.

    Raises:
        ConfigError: It has no bias, which the shift is merged into.
    """
    if getattr(layer, "bias", None) is None:
        raise ConfigError("ssf shifts what layers add, and this encoder has layers without bias")
    return next(kind(layer, std) for plain, kind in SCALED.items() if isinstance(layer, plain))
