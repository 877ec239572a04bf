from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from geoconvlora.hardware import _cpu_has_bf16
from geoconvlora.training.callbacks import EpochSeed, MetricsTable, WeightAverage
from geoconvlora.training.precision import choose_precision


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trained = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.zeros(3), requires_grad=False)


def test_average_is_the_plain_recursion_and_leaves_frozen_weights_out() -> None:
    net, trainer = Net(), SimpleNamespace(global_step=0)
    average = WeightAverage(0.6)
    average.on_fit_start(trainer, net)
    expected = 0.0
    for step in range(1, 30):
        trainer.global_step = step
        net.trained.data.fill_(step)
        average.on_train_batch_end(trainer, net, None, None, 0)
        decay = min(0.6, step / (9 + step))
        expected = decay * expected + (1 - decay) * step
    kept = average.state_dict()["average"]
    assert kept.keys() == {"trained"}
    assert kept["trained"][0] == pytest.approx(expected, rel=1e-5)


def test_batches_of_one_optimiser_step_count_once() -> None:
    net, trainer = Net(), SimpleNamespace(global_step=0)
    average = WeightAverage(0.6)
    average.on_fit_start(trainer, net)
    for global_step in (0, 0, 1, 1, 1):
        trainer.global_step = global_step
        average.on_train_batch_end(trainer, net, None, None, 0)
    assert average.state_dict()["updates"] == 1


def test_validation_sees_the_average_and_training_goes_on_with_the_weights() -> None:
    net, trainer = Net(), SimpleNamespace(global_step=1)
    average = WeightAverage(0.5)
    average.on_fit_start(trainer, net)
    net.trained.data.fill_(8)
    average.on_train_batch_end(trainer, net, None, None, 0)
    middle = average.state_dict()["average"]["trained"].clone()
    average.on_validation_start(trainer, net)
    assert torch.equal(net.trained.data, middle)
    average.on_validation_end(trainer, net)
    assert net.trained.data.tolist() == [8, 8, 8]
    assert torch.equal(average.state_dict()["average"]["trained"], middle)


def test_random_numbers_depend_on_seed_epoch_and_process_alone() -> None:
    def number(seed: int, epoch: int, rank: int = 0) -> float:
        trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
        EpochSeed(seed).on_train_epoch_start(trainer, None)
        return torch.rand(1).item()

    first = number(0, 3)
    torch.rand(5)
    assert number(0, 3) == first
    assert len({first, number(0, 4), number(1, 3), number(1, 4), number(0, 3, rank=1)}) == 5


def test_repeated_epoch_replaces_its_row(tmp_path: Path) -> None:
    table = MetricsTable(tmp_path / "metrics.csv")
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}])
    for epoch, score in ((0, 0.1), (1, 0.2), (1, 0.3)):
        trainer = SimpleNamespace(
            current_epoch=epoch,
            global_step=epoch,
            optimizers=[optimizer],
            callback_metrics={"val_mIoU": torch.tensor(score)},
            max_epochs=2,
            is_global_zero=True,
        )
        table.on_train_epoch_start(trainer, None)
        table.on_train_epoch_end(trainer, None)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[-1] for row in rows] == ["val_mIoU", "0.1", "0.3"]


@pytest.mark.parametrize(
    ("flags", "fast"), [("fpu avx2", False), ("fpu avx512_bf16", True), ("amx_bf16 fpu", True)]
)
def test_bfloat16_on_a_processor_needs_its_units(tmp_path: Path, flags: str, fast: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    assert _cpu_has_bf16(cpuinfo) is fast


def test_unknown_hardware_trains_in_float32() -> None:
    assert choose_precision("auto", "mps") == "32-true"
    assert choose_precision("bf16-mixed", "cpu") == "bf16-mixed"
