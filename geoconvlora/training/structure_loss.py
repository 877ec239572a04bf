"""The loss of Conv-LoRA's two-class experiments."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from geoconvlora.errors import ConfigError
from geoconvlora.training.config import IGNORE


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


def _per_image(values: Tensor) -> Tensor:
    """Sum of each image's pixels: (B, H, W) to (B,)."""
    return values.sum(dim=(1, 2))
