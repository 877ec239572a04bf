"""Conv-LoRA written from its formula, one map and one expert at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters.conv_lora import ConvLoRALinear


def literal_expert(low: Tensor, conv: nn.Conv2d, scale: int) -> Tensor:
    """Enlarge (N, r, H, W), convolve over zeros around, GELU, reduce."""
    u = F.interpolate(low, scale_factor=scale, mode="bicubic") if scale > 1 else low
    v = F.gelu(F.conv2d(u, conv.weight, conv.bias, padding=1))
    return F.interpolate(v, size=low.shape[-2:], mode="bicubic") if scale > 1 else v


def literal_layer(
    made: ConvLoRALinear, x: Tensor, route: Sequence[int], shares: Sequence[Tensor] | None = None
) -> Tensor:
    """The layer on maps (N, H, W, in); expert ``route[i]``, times ``shares[i]``, serves map i."""
    outputs = []
    for i, (one, expert) in enumerate(zip(x, route, strict=True)):
        z = (one @ made.lora_a.T).permute(2, 0, 1)[None]
        m = literal_expert(z, made.lora_experts[expert], expert + 1)
        mixed = (z + (m if shares is None else shares[i] * m))[0].permute(1, 2, 0)
        y0 = one @ made.weight.T + made.bias
        outputs.append(y0 + (32 / made.lora_a.shape[0]) * mixed @ made.lora_b.T)
    return torch.stack(outputs)
