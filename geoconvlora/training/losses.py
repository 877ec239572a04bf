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


class StructureLoss(nn.Module):
    """The two-class loss of Conv-LoRA's experiments: cross-entropy and IoU, heavier at outlines.

    A pixel weighs ``w = 1 + 5 |a - y|``, with y 1 in the foreground and a its mean over 31 x 31
    pixels, zeros beyond the edge. An image's loss is its cross-entropy plus ``1 - (sum w p y + 1) /
    (sum w (p + y) - sum w p y + 1)``, as in F3Net (Wei et al., AAAI 2020); the batch's is the mean.

    Args:
        faithful: Leave the cross-entropy unweighted, the mean over the batch, as the official code
            does: a legacy argument turns it into a scalar before the weights are applied. False:
            weight it as it is meant.
    """

    window_px = 31

    def __init__(self, *, faithful: bool) -> None:
        super().__init__()
        self.faithful = faithful

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of ``logits`` (B, 2, H, W) against ``mask`` (B, H, W); 255 is in no sum.

        Raises:
            ConfigError: There are more than two classes.
        """
        if logits.shape[1] != 2:
            raise ConfigError(f"the structure loss is for 2 classes, not {logits.shape[1]}")
        odds = logits[:, 1] - logits[:, 0]
        labelled = (mask != IGNORE).to(odds)
        truth = (mask == 1).to(odds)
        around = functional.avg_pool2d(
            truth[:, None], self.window_px, stride=1, padding=self.window_px // 2
        )[:, 0]
        weight = (1 + 5 * (around - truth).abs()) * labelled
        entropy = functional.binary_cross_entropy_with_logits(odds, truth, reduction="none")
        if self.faithful:
            cross_entropy = (entropy * labelled).sum() / labelled.sum().clamp_min(1)
        else:
            cross_entropy = _per_image(weight * entropy) / _per_image(weight).clamp_min(1)
        found = odds.sigmoid()
        common = _per_image(weight * found * truth)
        union = _per_image(weight * (found + truth)) - common
        loss: Tensor = (cross_entropy + 1 - (common + 1) / (union + 1)).mean()
        return loss


class SegmentationLoss(nn.Module):
    """Cross-entropy, Dice, both, or the structure loss; pixels of value 255 do not count.

    Args:
        name: Which terms: ``ce``, ``dice``, ``log-cosh-dice`` or a sum such as ``ce+dice``;
            ``structure-faithful`` and ``structure-intended`` are :class:`StructureLoss`.
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
        self.structure = (
            StructureLoss(faithful=name == "structure-faithful")
            if name.startswith("structure")
            else None
        )

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of ``logits`` (B, K, H, W) against ``mask`` (B, H, W), in float32."""
        logits = logits.float()
        loss = logits.new_zeros(())
        if self.cross_entropy is not None:
            loss = loss + self.cross_entropy(logits, mask)
        if self.dice is not None:
            loss = loss + self.dice_weight * self.dice(logits, mask)
        if self.structure is not None:
            loss = loss + self.structure(logits, mask)
        return loss


def _per_image(values: Tensor) -> Tensor:
    """Sum of each image's pixels: (B, H, W) to (B,)."""
    return values.sum(dim=(1, 2))
