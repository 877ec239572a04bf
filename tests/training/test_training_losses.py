import pytest
import torch
from torch.nn import functional

from geoconvlora.errors import ConfigError
from geoconvlora.training.losses import SegmentationLoss

NAMES = ["ce", "dice", "log-cosh-dice", "ce+dice", "ce+log-cosh-dice"]


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
