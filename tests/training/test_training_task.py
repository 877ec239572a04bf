import math

import pytest
import torch

from geoconvlora.errors import WeightsError
from geoconvlora.sam import build_segmenter
from geoconvlora.training.task import ConvLoRASegmentation, LearningRate
from geoconvlora.weights import save_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("base") / "tiny.safetensors"
    return str(save_base(path, build_segmenter("vit_t", classes=2), half=False))


class Steps:
    """Stands for the trainer where only the number of steps is asked for."""

    estimated_stepping_batches = 10


def optimizer_of(task: ConvLoRASegmentation) -> torch.optim.Optimizer:
    task._trainer = Steps()
    task._fabric = None
    return task.configure_optimizers()["optimizer"]


def test_optimizer_gets_what_trains_and_decays_matrices_only(base: str) -> None:
    task = ConvLoRASegmentation(method="lora", settings={"rank": 2}, base=base)
    decayed, plain = optimizer_of(task).param_groups
    given = {id(p) for group in (decayed, plain) for p in group["params"]}
    trainable = {id(p) for p in task.parameters() if p.requires_grad}
    assert given == trainable
    assert len(given) < len(list(task.parameters()))
    assert {p.ndim > 1 for p in decayed["params"]} == {True}
    assert {p.ndim > 1 for p in plain["params"]} == {False}
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)


def test_base_gives_size_and_weights(base: str) -> None:
    one = ConvLoRASegmentation(method="lora", settings={"rank": 2}, base=base)
    other = ConvLoRASegmentation(method="decoder-only", base=base)
    images = torch.randn(1, 3, 64, 64)
    assert torch.allclose(one.model.encoder(images), other.model.encoder(images), atol=1e-5)


def test_missing_base_is_refused() -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        ConvLoRASegmentation(method="lora", base="nowhere.safetensors")


def test_network_is_in_training_mode(base: str) -> None:
    assert ConvLoRASegmentation(method="conv-lora", base=base).model.training


def test_hyperparameters_are_plain_values(base: str) -> None:
    task = ConvLoRASegmentation(method="lora", settings={"rank": 2}, base=base)
    assert task.hparams["method"] == "lora"
    assert task.hparams["settings"] == {"rank": 2}
    assert ConvLoRASegmentation(**task.hparams).hparams == task.hparams


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    rate = LearningRate(100, 0.1, "cosine")
    factors = [rate(step) for step in range(101)]
    assert factors[:11] == sorted(factors[:11])
    assert factors[10] == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0, abs=1e-12)
    assert rate(55) == pytest.approx((1 + math.cos(math.pi / 2)) / 2)


@pytest.mark.parametrize(("schedule", "middle"), [("linear", 0.5), ("constant", 1.0)])
def test_other_schedules(schedule: str, middle: float) -> None:
    assert LearningRate(100, 0, schedule)(50) == middle
