"""Bottleneck adapters, in series (Houlsby et al. 2019) or in parallel (AdaptFormer, 2022)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, cast

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters.base import Method
from geoconvlora.sam.adaptable import AdaptableBlock, AdaptableEncoder

PARALLEL_SCALE = 0.1
"""AdaptFormer's fixed weight of the parallel branch."""


class Adapter(Method):
    """A two-layer bottleneck in every block.

    Attributes:
        place: ``mlp``: after the MLP, before its residual is added. ``attention-and-mlp``: there
            and after the attention, Houlsby's two a block. ``parallel``: beside the MLP, from the
            same residual stream, as in AdaptFormer.
        bottleneck: Hidden width, b.
    """

    name: ClassVar[str] = "adapter"

    place: Literal["mlp", "attention-and-mlp", "parallel"] = "mlp"
    bottleneck: int = Field(default=8, ge=1)

    def inject(self, encoder: AdaptableEncoder) -> None:
        """Wrap the last layer of MLP and attention, or add the branch beside the MLP."""
        for block in cast("Iterable[AdaptableBlock]", encoder.blocks):
            if self.place == "parallel":
                block.beside_mlp = ParallelAdapter(encoder.size.width, self.bottleneck)
                continue
            last = block.mlp_layers[1]
            setattr(block.mlp, last, AdaptedLinear(getattr(block.mlp, last), self.bottleneck))
            if self.place == "attention-and-mlp":
                block.attn.proj = AdaptedLinear(block.attn.proj, self.bottleneck)

    def trains(self, name: str) -> bool:
        """The two layers of each bottleneck."""
        return ".adapter_" in name


class AdaptedLinear(nn.Linear):
    """``a(y) = y + W_u GELU(W_d y)`` after a frozen layer's output y.

    Attributes:
        adapter_down: W_d with bias, (b, out).
        adapter_up: W_u with bias, (out, b); zero at the start.
    """

    def __init__(self, frozen: nn.Linear, bottleneck: int) -> None:
        super().__init__(frozen.in_features, frozen.out_features, device="meta")
        self.weight, self.bias = frozen.weight, frozen.bias
        self.adapter_down, self.adapter_up = _bottleneck(frozen.out_features, bottleneck, frozen)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        y = super().forward(x)
        return y + self.adapter_up(F.gelu(self.adapter_down(y)))  # type: ignore[no-any-return]


class ParallelAdapter(nn.Module):
    """``0.1 W_u ReLU(W_d x)``, to be added to the MLP's output.

    Attributes:
        adapter_down: W_d with bias, (b, d).
        adapter_up: W_u with bias, (d, b); zero at the start.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.adapter_down, self.adapter_up = _bottleneck(width, bottleneck)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d) to the same shape."""
        branch: Tensor = self.adapter_up(F.relu(self.adapter_down(x)))
        return PARALLEL_SCALE * branch


def _bottleneck(
    width: int, hidden: int, like: nn.Linear | None = None
) -> tuple[nn.Linear, nn.Linear]:
    place: dict[str, Any] = {}
    if like is not None:
        place = {"device": like.weight.device, "dtype": like.weight.dtype}
    down, up = nn.Linear(width, hidden, **place), nn.Linear(hidden, width, **place)
    nn.init.kaiming_uniform_(down.weight, a=5**0.5)
    nn.init.zeros_(down.bias)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    return down, up
