import math

import pytest
import torch
from torch.nn import functional

from geoconvlora.errors import ConfigError
from geoconvlora.training.losses import PixelLoss, SegmentationLoss, near_boundary
from geoconvlora.training.structure_loss import StructureLoss

NAMES = ["ce", "focal", "dice", "log-cosh-dice", "jaccard", "lovasz", "ce+dice", "focal+jaccard"]
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


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("focus", "'focus' is none of ce, focal, dice"),
        ("ce+structure-faithful", "'structure-faithful' is none"),
        ("ce+ce", "'ce\\+ce' names a term twice"),
    ],
)
def test_unknown_loss_is_refused(name: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        SegmentationLoss(name)


def labelled_pixels(logits: torch.Tensor, mask: torch.Tensor) -> list[tuple[list[float], int]]:
    """Probabilities and class of each pixel that counts, one by one."""
    probabilities = logits.double().softmax(dim=1)
    return [
        (probabilities[b, :, i, j].tolist(), int(mask[b, i, j]))
        for b, i, j in torch.cartesian_prod(*(torch.arange(n) for n in mask.shape)).tolist()
        if mask[b, i, j] != 255
    ]


def slow_overlap(pixels: list[tuple[list[float], int]], kind: str) -> float:
    """1 - Dice or 1 - Jaccard, the mean over all classes; one that is not there loses nothing."""
    total = 0.0
    for k in range(3):
        common = sum(p[k] for p, c in pixels if c == k)
        found, true = sum(p[k] for p, _ in pixels), sum(c == k for _, c in pixels)
        if true:
            union = found + true - common
            total += 1 - (2 * common / (found + true) if kind == "dice" else common / union)
    return total / 3


def slow_lovasz(pixels: list[tuple[list[float], int]]) -> float:
    """The extension of the Jaccard loss, from its definition by sets of the largest errors."""
    losses = []
    for k in range(3):
        if not any(c == k for _, c in pixels):
            continue
        errors = sorted(((abs((c == k) - p[k]), c == k) for p, c in pixels), reverse=True)
        true = sum(is_k for _, is_k in errors)
        loss = before = 0.0
        for n in range(1, len(errors) + 1):
            missed = sum(is_k for _, is_k in errors[:n])
            jaccard = 1 - (true - missed) / (true + n - missed)
            loss += errors[n - 1][0] * (jaccard - before)
            before = jaccard
        losses.append(loss)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("ignored", [0, 3, 6])
@pytest.mark.parametrize("name", ["ce", "focal", "dice", "log-cosh-dice", "jaccard", "lovasz"])
def test_loss_is_its_formula_over_labelled_pixels(
    name: str, ignored: int, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    logits, mask = batch
    mask[:, :ignored] = 255
    pixels = labelled_pixels(logits, mask)
    expected = {
        "ce": lambda: sum(-math.log(p[c]) for p, c in pixels) / len(pixels),
        "focal": lambda: sum(-((1 - p[c]) ** 2) * math.log(p[c]) for p, c in pixels) / len(pixels),
        "dice": lambda: slow_overlap(pixels, "dice"),
        "log-cosh-dice": lambda: math.log(math.cosh(slow_overlap(pixels, "dice"))),
        "jaccard": lambda: slow_overlap(pixels, "jaccard"),
        "lovasz": lambda: slow_lovasz(pixels),
    }[name]()
    assert float(SegmentationLoss(name)(logits, mask)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["dice", "jaccard"])
def test_class_that_is_absent_loses_nothing_and_still_counts_in_the_mean(name: str) -> None:
    mask = torch.tensor([[[0, 0, 1, 1]]])
    certain = functional.one_hot(mask, 4).movedim(-1, 1) * 100.0
    # Half of class 1 is taken for class 0, of which nothing is missed.
    wrong = certain[..., [0, 1, 1, 2]]
    losses = {"dice": 1 - 2 * 2 / 5 + 1 - 2 * 1 / 3, "jaccard": 1 - 2 / 3 + 1 - 1 / 2}
    assert float(SegmentationLoss(name)(wrong, mask)) == pytest.approx(losses[name] / 4, rel=1e-4)


def test_terms_are_summed_with_the_region_weight(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, mask = batch
    both = SegmentationLoss("focal+lovasz", region_weight=0.3, focal_gamma=1.5)(logits, mask)
    focal = SegmentationLoss("focal", focal_gamma=1.5)(logits, mask)
    lovasz = SegmentationLoss("lovasz")(logits, mask)
    assert float(both) == pytest.approx(float(focal + 0.3 * lovasz), rel=1e-6)


@pytest.mark.parametrize("width", [1, 2])
def test_pixels_near_another_class_are_found(width: int) -> None:
    generator = torch.Generator().manual_seed(2)
    mask = torch.randint(0, 2, (2, 3, 4), generator=generator).repeat_interleave(4, -1)
    mask = mask.repeat_interleave(4, -2)
    mask[0, 5:9, 3:8] = 255
    found = near_boundary(mask, width)
    for b, i, j in torch.cartesian_prod(*(torch.arange(n) for n in mask.shape)).tolist():
        rows, columns = (
            slice(max(0, i - width), i + width + 1),
            slice(max(0, j - width), j + 1 + width),
        )
        around = mask[b, rows, columns]
        others = (around != mask[b, i, j]) & (around != 255)
        assert bool(found[b, i, j]) == bool(mask[b, i, j] != 255 and others.any())


def test_boundary_and_class_weights_multiply(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, _ = batch
    mask = torch.zeros(2, 8, 8, dtype=torch.long)
    mask[:, :, 4:], mask[:, 7] = 2, 255
    losses = functional.cross_entropy(logits, mask, ignore_index=255, reduction="none")
    weights = torch.tensor([0.5, 1.0, 2.0])[mask.clamp_max(2)] * (mask != 255)
    weights[:, :, 3:5] *= 4
    loss = PixelLoss(0.0, [0.5, 1.0, 2.0], boundary_width_px=1, boundary_weight=4)
    expected = (losses * weights).sum() / weights.sum()
    assert float(loss(logits, mask)) == pytest.approx(float(expected), rel=1e-6)


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
