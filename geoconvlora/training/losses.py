"""Task losses with ignored pixels, on segmentation-models-pytorch where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from segmentation_models_pytorch.losses import DiceLoss, JaccardLoss, LovaszLoss
from torch import Tensor, nn
from torch.nn import functional

from geoconvlora.errors import ConfigError
from geoconvlora.training.config import IGNORE, fault_of_loss_name
from geoconvlora.training.structure_loss import StructureLoss


class PixelLoss(nn.Module):
    """Cross-entropy or focal loss, the weighted mean over labelled pixels; 0 where there is none.

    A pixel of class c with probability p of it has the loss ``-(1 - p)^gamma log p`` (Lin et al.,
    2017, arXiv 1708.02002, equation 4; gamma 0 is cross-entropy) and the weight of its class times
    that of its place. The classes' probabilities are a softmax, as they are in prediction; the
    focal loss of segmentation-models-pytorch gives each class a sigmoid of its own.

    Args:
        gamma: How much less pixels count that are right already.
        class_weights: One a class; None weighs all alike.
        boundary_width_px: Pixels within this distance (in rows or columns) of a pixel of another
            class weigh more; None: all places weigh alike.
        boundary_weight: How many times as much.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        gamma: float = 0.0,
        class_weights: Sequence[float] | None = None,
        boundary_width_px: int | None = None,
        boundary_weight: float = 1.0,
    ) -> None:
        super().__init__()
        weights = None if class_weights is None else torch.tensor(class_weights).float()
        self.register_buffer("class_weights", weights, persistent=False)
        self._gamma = gamma
        self._width = boundary_width_px
        self._boundary_weight = boundary_weight

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of ``logits`` (B, K, H, W) against ``mask`` (B, H, W)."""
        losses = functional.cross_entropy(logits, mask, ignore_index=IGNORE, reduction="none")
        if self._gamma:
            losses = (1 - torch.exp(-losses)).pow(self._gamma) * losses
        weights = (mask != IGNORE).to(losses)
        if self.class_weights is not None:
            weights = weights * self.class_weights[mask.masked_fill(mask == IGNORE, 0)]
        if self._width is not None:
            more = near_boundary(mask, self._width)
            weights = weights * (1 + (self._boundary_weight - 1) * more.to(losses))
        return (weights * losses).sum() / weights.sum().clamp_min(1e-6)


def near_boundary(mask: Tensor, width_px: int) -> Tensor:
    """Where a labelled pixel of another class is at most ``width_px`` rows and columns away.

    Args:
        mask: Class ids (B, H, W); ignored pixels make no boundary.
        width_px: 1 marks the pixels that touch another class, also by a corner.

    Returns:
        (B, H, W) booleans.
    """
    ids = mask[:, None].float()
    ignored = ids == IGNORE
    highest = partial(
        functional.max_pool2d, kernel_size=2 * width_px + 1, stride=1, padding=width_px
    )
    top = highest(ids.masked_fill(ignored, -1))
    bottom = -highest(-ids)
    return ((top > bottom) & ~ignored)[:, 0]


class LabelledOnly(nn.Module):
    """Gives a loss over whole batches their labelled pixels alone; 0 where there is none."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of ``logits`` (B, K, H, W) against ``mask`` (B, H, W)."""
        labelled = mask != IGNORE
        if not labelled.any():
            return logits.sum() * 0
        pixels = logits.movedim(1, -1)[labelled].T
        loss: Tensor = self.loss(pixels[None, :, None], mask[labelled][None, None])
        return loss


class LogCosh(nn.Module):
    """Log-cosh of another loss, which flattens its ends (Jadon, 2020, arXiv 2006.14822)."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of ``logits`` (B, K, H, W) against ``mask`` (B, H, W)."""
        return torch.log(torch.cosh(self.loss(logits, mask)))


class SegmentationLoss(nn.Module):
    """A sum of pixel losses and region losses; pixels of value 255 do not count.

    Args:
        name: Terms joined by ``+``: ``ce`` and ``focal`` are :class:`PixelLoss`; ``dice``,
            ``log-cosh-dice``, ``jaccard`` and ``lovasz`` measure the overlap of regions.
            ``structure-faithful`` and ``structure-intended`` are :class:`StructureLoss`, alone.
        class_weights: Of the pixel losses, one a class.
        region_weight: Of the region losses.
        focal_gamma: Of the focal loss.
        boundary_width_px: Of the pixel losses.
        boundary_weight: Of the pixel losses.

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
        name: str = "ce+dice",
        class_weights: Sequence[float] | None = None,
        region_weight: float = 1.0,
        focal_gamma: float = 2.0,
        boundary_width_px: int | None = None,
        boundary_weight: float = 5.0,
    ) -> None:
        super().__init__()
        if fault := fault_of_loss_name(name):
            raise ConfigError(f"loss {fault}")
        pixel = partial(
            PixelLoss,
            class_weights=class_weights,
            boundary_width_px=boundary_width_px,
            boundary_weight=boundary_weight,
        )
        terms: dict[str, tuple[nn.Module, float]] = {
            "ce": (pixel(0.0), 1.0),
            "focal": (pixel(focal_gamma), 1.0),
            "dice": (DiceLoss("multiclass", ignore_index=IGNORE), region_weight),
            "log-cosh-dice": (LogCosh(DiceLoss("multiclass", ignore_index=IGNORE)), region_weight),
            # Older versions of both libraries' losses know no ignored pixels, or fail without any.
            "jaccard": (LabelledOnly(JaccardLoss("multiclass")), region_weight),
            "lovasz": (LabelledOnly(LovaszLoss("multiclass")), region_weight),
            "structure-faithful": (StructureLoss(faithful=True), 1.0),
            "structure-intended": (StructureLoss(faithful=False), 1.0),
        }
        chosen = [terms[term] for term in name.split("+")]
        self.terms = nn.ModuleList(term for term, _ in chosen)
        self._weights = [weight for _, weight in chosen]

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of ``logits`` (B, K, H, W) against ``mask`` (B, H, W), in float32."""
        logits = logits.float()
        losses = [w * term(logits, mask) for term, w in zip(self.terms, self._weights, strict=True)]
        return torch.stack(losses).sum()
