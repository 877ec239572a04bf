"""Task losses with ignored pixels, on segmentation-models-pytorch where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from geoconvlora.errors import ConfigError
from geoconvlora.training.config import IGNORE, LossName


class CrossEntropy(nn.Module):
    """Weighted cross-entropy, averaged over labelled pixels; 0 where there is none.

    Torch's own mean is not a number for a batch without a labelled pixel.
    """

    weight: Tensor | None

    def __init__(self, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of ``logits`` (B, K, H, W) against ``mask`` (B, H, W)."""
        total = functional.cross_entropy(
            logits, mask, weight=self.weight, ignore_index=IGNORE, reduction="sum"
        )
        labelled = mask[mask != IGNORE]
        counted = labelled.numel() if self.weight is None else self.weight[labelled].sum()
        return total / max(float(counted), 1e-6)


class LogCosh(nn.Module):
    """Log-cosh of another loss, which flattens its ends (Jadon, 2020, arXiv 2006.14822)."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of ``logits`` (B, K, H, W) against ``mask`` (B, H, W)."""
        return torch.log(torch.cosh(self.loss(logits, mask)))


class SegmentationLoss(nn.Module):
    """Cross-entropy, Dice, or both; pixels of value 255 do not count.

    Args:
        name: Which terms: ``ce``, ``dice``, ``log-cosh-dice`` or a sum such as ``ce+dice``.
        class_weights: Of the cross-entropy, one a class.
        dice_weight: Of the Dice term.

    Raises:
        ConfigError: The name is unknown.

    Example:
        >>> import torch
        >>> loss = SegmentationLoss("ce+dice")
        >>> float(loss(torch.zeros(1, 2, 4, 4), torch.full((1, 4, 4), 255)))
        0.0
    """

    def __init__(
        self,
        name: LossName = "ce+dice",
        class_weights: Sequence[float] | None = None,
        dice_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if name not in get_args(LossName):
            raise ConfigError(f"loss {name!r} is none of {', '.join(get_args(LossName))}")
        terms = name.split("+")
        self.cross_entropy = CrossEntropy(class_weights) if "ce" in terms else None
        self.dice: nn.Module | None = None
        if "dice" in terms or "log-cosh-dice" in terms:
            dice = DiceLoss("multiclass", ignore_index=IGNORE)
            self.dice = LogCosh(dice) if "log-cosh-dice" in terms else dice
        self.dice_weight = dice_weight

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of ``logits`` (B, K, H, W) against ``mask`` (B, H, W), in float32."""
        logits = logits.float()
        loss = logits.new_zeros(())
        if self.cross_entropy is not None:
            loss = loss + self.cross_entropy(logits, mask)
        if self.dice is not None:
            loss = loss + self.dice_weight * self.dice(logits, mask)
        return loss
