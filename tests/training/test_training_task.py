import math

import pytest
import torch

from geoconvlora.errors import ConfigError, WeightsError
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
    task = ConvLoRASegmentation(method="lora", settings={"rank": 2}, base=base, eps=1e-6)
    groups = optimizer_of(task).param_groups
    given = [id(p) for group in groups for p in group["params"]]
    trainable = {id(p) for p in task.parameters() if p.requires_grad}
    assert set(given) == trainable
    assert len(given) == len(trainable) < len(list(task.parameters()))
    for group in groups:
        decays = {p.ndim > 1 for p in group["params"]}
        assert decays == {group["weight_decay"] == 0.01}
    assert {group["eps"] for group in groups} == {1e-6}


def rates_of(task: ConvLoRASegmentation) -> dict[str, float]:
    groups = optimizer_of(task).param_groups
    rates = {group["name"]: group["lr"] for group in groups}
    assert len(rates) == len(groups)
    return rates


def test_each_part_has_its_rate(base: str) -> None:
    rates = {"encoder": 0.01, "decoder": 0.5}
    task = ConvLoRASegmentation(method="bitfit", base=base, lr=1e-2, rates=rates)
    assert rates_of(task) == {
        "encoder-vectors": pytest.approx(1e-4),
        "decoder": pytest.approx(5e-3),
        "decoder-vectors": pytest.approx(5e-3),
    }
    task = ConvLoRASegmentation(method="conv-lora", base=base, lr=1e-2, rates={"adapter": 0.1})
    assert {name: rate for name, rate in rates_of(task).items() if "vectors" not in name} == {
        "adapter": pytest.approx(1e-3),
        "decoder": 1e-2,
    }


def test_rate_of_an_unknown_part_is_refused(base: str) -> None:
    task = ConvLoRASegmentation(method="bitfit", base=base, rates={"neck": 0.1})
    with pytest.raises(ConfigError, match="not 'neck'"):
        optimizer_of(task)


def test_recomputed_blocks_give_the_same_gradients(base: str) -> None:
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)
        task = ConvLoRASegmentation(method="conv-lora", base=base, recompute=recompute)
        task(torch.randn(1, 3, 64, 64)).square().mean().backward()
        found.append({n: p.grad for n, p in task.named_parameters() if p.requires_grad})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name])


def test_masks_of_other_libraries_are_understood(base: str) -> None:
    task = ConvLoRASegmentation(method="decoder-only", base=base, ignore_index=3)
    mask = torch.tensor([[[0, 1], [3, 255]]])
    for given in (mask, mask.float(), mask[:, None], mask[:, None].double()):
        assert task._mask({"mask": given}).tolist() == [[[0, 1], [255, 255]]]


def test_time_steps_are_stacked_as_bands() -> None:
    task = ConvLoRASegmentation(model="vit_t", method="full", in_channels=6).eval()
    times = torch.randn(1, 2, 3, 32, 32)
    assert torch.equal(task(times), task(torch.cat([times[:, 0], times[:, 1]], dim=1)))


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
