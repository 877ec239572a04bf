import pytest
import torch

from geoconvlora.training.augment import Augment
from geoconvlora.training.config import AugmentConfig


def batch_of(size: int) -> dict[str, torch.Tensor]:
    """The image's first band repeats the mask, so that a wrong move shows."""
    mask = torch.randint(0, 5, (size, 8, 8))
    valid = torch.rand(size, 8, 8) > 0.3
    mask = torch.where(valid, mask, 255)
    image = torch.where(valid, mask.float() - 2, 0.0)[:, None].repeat(1, 2, 1, 1)
    return {"image": image, "mask": mask, "valid": valid}


def test_image_mask_and_validity_move_together() -> None:
    torch.manual_seed(0)
    batch = batch_of(40)
    changed = Augment(AugmentConfig())(batch)
    assert not torch.equal(changed["mask"], batch["mask"])
    assert torch.equal(changed["valid"], changed["mask"] != 255)
    expected = torch.where(changed["valid"], changed["mask"].float() - 2, 0.0)
    assert torch.equal(changed["image"][:, 1], expected)


def test_all_eight_symmetries_occur() -> None:
    torch.manual_seed(0)
    one = batch_of(1)
    batch = {name: layer.repeat(200, *[1] * (layer.ndim - 1)) for name, layer in one.items()}
    masks = Augment(AugmentConfig())(batch)["mask"]
    assert len({mask.numpy().tobytes() for mask in masks}) == 8


def test_brightness_and_contrast_leave_mask_and_invalid_pixels_alone() -> None:
    torch.manual_seed(0)
    batch = batch_of(10)
    config = AugmentConfig(flips=False, quarter_turns=False, brightness=0.3, contrast=0.3)
    changed = Augment(config)(batch)
    assert torch.equal(changed["mask"], batch["mask"])
    valid = batch["valid"][:, None].expand_as(batch["image"])
    assert (changed["image"][~valid] == 0).all()
    difference = (changed["image"] - batch["image"])[valid]
    assert 0 < difference.abs().max() <= 0.3 + 0.3 * 2 + 1e-5
    assert changed["image"].min() < 0


@pytest.mark.parametrize("shape", [(8, 12)])
def test_tiles_that_are_not_square_keep_their_shape(shape: tuple[int, int]) -> None:
    mask = torch.zeros(2, *shape, dtype=torch.long)
    batch = {"image": torch.zeros(2, 3, *shape), "mask": mask, "valid": mask == 0}
    assert Augment(AugmentConfig())(batch)["image"].shape == (2, 3, *shape)


def test_scale_keeps_image_mask_and_validity_together_and_ignores_what_it_does_not_reach() -> None:
    torch.manual_seed(0)
    rows = torch.arange(64).repeat(64, 1).T.repeat(20, 1, 1)
    batch = {
        "image": (rows.float() + 1)[:, None],
        "mask": rows // 16,
        "valid": torch.ones_like(rows, dtype=torch.bool),
    }
    config = AugmentConfig(flips=False, quarter_turns=False, scale=1)
    changed = Augment(config)(batch)
    assert torch.equal(changed["mask"] != 255, changed["valid"])
    assert (changed["image"][:, 0][~changed["valid"]] == 0).all()
    place = changed["image"][:, 0] - 1
    inner = changed["valid"] & ((place / 16 - (place / 16).round()).abs() > 1 / 16)
    assert torch.equal(changed["mask"][inner], (place / 16).floor().long()[inner])
    rows_seen = [
        len(one[seen].round().unique()) for one, seen in zip(place, changed["valid"], strict=True)
    ]
    assert min(rows_seen) < 45
    assert (~changed["valid"]).any()


def test_each_band_changes_by_itself() -> None:
    torch.manual_seed(0)
    batch = batch_of(50)
    config = AugmentConfig(flips=False, quarter_turns=False, band_brightness=0.4, band_contrast=0.2)
    changed = Augment(config)(batch)["image"]
    valid = batch["valid"]
    assert (changed.permute(0, 2, 3, 1)[~valid] == 0).all()
    apart = (changed[:, 0] - changed[:, 1])[valid]
    assert 0.1 < apart.abs().max() <= 2 * 0.4 + 2 * 0.2 * 2 + 1e-5


def test_bands_are_dropped_at_their_rate_but_never_all() -> None:
    torch.manual_seed(0)
    image = torch.ones(3000, 3, 2, 2)
    mask = torch.zeros(3000, 2, 2, dtype=torch.long)
    config = AugmentConfig(flips=False, quarter_turns=False, band_drop=0.3)
    changed = Augment(config)({"image": image, "mask": mask, "valid": mask == 0})["image"]
    kept = changed[:, :, 0, 0]
    assert kept.any(dim=1).all()
    assert 1 - kept.mean() == pytest.approx(0.3 - 0.3**3 / 3, abs=0.02)
