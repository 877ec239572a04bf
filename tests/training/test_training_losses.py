import math

import pytest
import torch
from torch.nn import functional

from geoconvlora.errors import ConfigError
from geoconvlora.training.losses import SegmentationLoss, StructureLoss

NAMES = ["ce", "dice", "log-cosh-dice", "ce+dice", "ce+log-cosh-dice"]
STRUCTURE = ["structure-faithful", "structure-intended"]


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    return logits, torch.randint(0, 3, (2, 8, 8), generator=generator)


def test_cross_entropy_is_torchs(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, mask = batch
    mask[0, :3] = 255
    weights = [0.5, 1.0, 2.0]
    expected = functional.cross_entropy(logits, mask, torch.tensor(weights), ignore_index=255)
    assert SegmentationLoss("ce", weights)(logits, mask) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_change_nothing(name: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, mask = batch
    mask[:, :, 5:] = 255
    changed = logits.clone()
    changed[:, :, :, 5:] = 100 * torch.randn(2, 3, 8, 3)
    loss = SegmentationLoss(name)
    assert loss(logits, mask) == pytest.approx(float(loss(changed, mask)), rel=1e-6)
    assert loss(logits, mask) == pytest.approx(
        float(loss(logits[..., :5], mask[..., :5])), rel=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_batch_without_a_label_has_no_loss_and_finite_gradients(name: str) -> None:
    logits = torch.randn(1, 3, 8, 8, requires_grad=True)
    loss = SegmentationLoss(name, [1, 1, 1])(logits, torch.full((1, 8, 8), 255))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_perfect_prediction_has_nearly_no_loss(name: str) -> None:
    mask = torch.randint(0, 3, (1, 8, 8))
    logits = 40 * functional.one_hot(mask, 3).permute(0, 3, 1, 2).float()
    assert float(SegmentationLoss(name)(logits, mask)) == pytest.approx(0, abs=1e-5)


def test_unknown_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match="'focus' is none of ce, dice"):
        SegmentationLoss("focus")


def slow_structure(logits: torch.Tensor, mask: torch.Tensor, *, faithful: bool) -> float:
    """The formula pixel by pixel."""
    images, _, height, width = logits.shape
    odds = (logits[:, 1] - logits[:, 0]).double()
    everywhere = [
        math.log1p(math.exp(-float(odds[b, i, j]) * (1 if mask[b, i, j] == 1 else -1)))
        for b in range(images)
        for i in range(height)
        for j in range(width)
        if mask[b, i, j] != 255
    ]
    total = 0.0
    for b in range(images):
        weights = weighted = common = both = 0.0
        for i in range(height):
            for j in range(width):
                if mask[b, i, j] == 255:
                    continue
                near = mask[b, max(0, i - 15) : i + 16, max(0, j - 15) : j + 16]
                y = float(mask[b, i, j] == 1)
                w = 1 + 5 * abs(float((near == 1).sum()) / 31**2 - y)
                x = float(odds[b, i, j])
                p = 1 / (1 + math.exp(-x))
                weights += w
                weighted += w * math.log1p(math.exp(-x if y else x))
                common += w * p * y
                both += w * (p + y)
        bce = sum(everywhere) / len(everywhere) if faithful else weighted / weights
        total += bce + 1 - (common + 1) / (both - common + 1)
    return total / images


@pytest.mark.parametrize("faithful", [True, False])
def test_structure_loss_is_the_formula(faithful: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 2, 36, 20, generator=generator)
    mask = (torch.rand(2, 36, 20, generator=generator) < 0.3).long()
    mask[1, :5] = 255
    expected = slow_structure(logits, mask, faithful=faithful)
    assert float(StructureLoss(faithful=faithful)(logits, mask)) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("name", STRUCTURE)
@pytest.mark.parametrize("value", [0, 1, 255])
def test_structure_loss_of_a_constant_mask_is_finite(name: str, value: int) -> None:
    logits = (20 * torch.randn(1, 2, 8, 8)).requires_grad_()
    loss = SegmentationLoss(name)(logits, torch.full((1, 8, 8), value))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (float(loss.detach()) == 0) == (value == 255)


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure_loss_of_a_perfect_prediction_is_nearly_zero(name: str) -> None:
    mask = torch.randint(0, 2, (2, 8, 8))
    logits = 40 * functional.one_hot(mask, 2).permute(0, 3, 1, 2).float()
    assert float(SegmentationLoss(name)(logits, mask)) == pytest.approx(0, abs=1e-5)


def test_structure_loss_of_three_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 classes, not 3"):
        SegmentationLoss("structure-intended")(torch.zeros(1, 3, 8, 8), torch.zeros(1, 8, 8))
