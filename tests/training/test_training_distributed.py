"""Training in two processes on this computer, as ``--devices 2`` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from geoconvlora.errors import ConfigError
from geoconvlora.sam import build_segmenter
from geoconvlora.training.config import IGNORE, TrainConfig
from geoconvlora.training.config_file import load_config, save_config
from geoconvlora.training.precision import choose_device
from geoconvlora.training.samples import EpochSampler, EvenDataset, Sample
from geoconvlora.training.task import ConvLoRASegmentation
from geoconvlora.weights import load, save_base

WORLD = 2
SAMPLES = 4


def train_in_two_processes(
    tiles_config: Callable[..., dict[str, Any]], folder: Path, strategy: str, *options: str
) -> TrainConfig:
    """By the command line, which starts the second process itself."""
    base = folder / "tiny.safetensors"
    if not base.exists():
        save_base(base, build_segmenter("vit_t", classes=2))
    changes = {
        "model.base": str(base),
        "model.method": "conv-lora",
        "model.settings": {"rank": 2, "alpha": 4},
        "model.decoder": {"head": "direct"},
        "optim.batch_size": 2,
        "optim.eps": 1e-3,  # Gradients that are nothing but rounding shall move nothing.
        "split.fraction": 0.4,  # Three samples: one process has a filler.
    }
    config = load_config(None, tiles_config(strategy, **changes))
    config = config.model_copy(update={"optim": config.optim.model_copy(update={"ema": None})})
    save_config(config, folder / "config.yaml")
    command = [sys.executable, "-m", "geoconvlora", "train", str(folder / "config.yaml")]
    ended = subprocess.run(
        [*command, "--devices", str(WORLD), "--strategy", strategy, *options],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("wrote") == config.out.exists()
    assert "Warning" not in ended.stderr
    return config


@pytest.mark.slow
def test_two_processes_write_one_model_file_also_where_they_share_the_weights(
    tiles_config: Callable[..., dict[str, Any]], tiles: Path
) -> None:
    config = train_in_two_processes(tiles_config, tiles, "ddp")
    assert {p.name for p in tiles.glob("ddp*")} == {"ddp.safetensors", "ddp.run"}
    model = load(config.out, base=config.model.base)
    assert model.card.training.epochs == 2
    # Five training samples: each process has two, one batch, in every epoch.
    assert (config.run_folder / "metrics.csv").read_text().splitlines()[-1].startswith("1,2,")
    assert 0 < model.card.training.metrics["val_mIoU"] <= 1
    shared = train_in_two_processes(tiles_config, tiles, "fsdp", "--max-minutes", "0.0001")
    assert not shared.out.exists()
    train_in_two_processes(tiles_config, tiles, "fsdp", "--resume")
    whole, parts = load_file(config.out), load_file(shared.out)
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-3, atol=1e-4)


def batch_of(keys: list[int]) -> dict[str, Tensor]:
    """Samples with the same number of labelled pixels, so that their mean is the batch's loss."""
    images, masks = [], []
    for key in keys:
        generator = torch.Generator().manual_seed(key)
        images.append(torch.randn(3, 64, 64, generator=generator))
        mask = torch.randint(0, 2, (64, 64), generator=generator)
        mask[:8] = IGNORE
        masks.append(mask)
    return {"image": torch.stack(images), "mask": torch.stack(masks)}


class Steps(torch.nn.Module):
    """The task's training step as a forward pass, as Lightning's strategy calls it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.task = ConvLoRASegmentation(model="vit_t", method="full", loss="ce")
        self.task.log = lambda *_, **__: None  # type: ignore[method-assign]

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.task.training_step(batch, 0)


def gradients(module: torch.nn.Module, keys: list[int]) -> dict[str, Tensor]:
    module(batch_of(keys)).backward()
    return {n.removeprefix("module."): p.grad for n, p in module.named_parameters()}


def train_one_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(f"{folder}/store", WORLD), rank=rank, world_size=WORLD
    )
    keys = list(EpochSampler(SAMPLES, processes=WORLD, rank=rank))
    torch.save(gradients(DistributedDataParallel(Steps()), keys), Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()


@pytest.mark.slow
def test_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    mp.spawn(train_one_rank, args=(str(tmp_path),), nprocs=WORLD)
    together = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]
    alone = gradients(Steps(), list(EpochSampler(SAMPLES)))
    rounding = 1e-5 * max(float(g.abs().max()) for g in alone.values())
    for name, gradient in alone.items():
        torch.testing.assert_close(together[0][name], together[1][name], rtol=0, atol=0)
        torch.testing.assert_close(together[0][name], gradient, rtol=1e-4, atol=rounding)


@pytest.mark.parametrize(("length", "processes"), [(8, 2), (9, 2), (11, 3)])
def test_processes_share_the_samples_of_one(length: int, processes: int) -> None:
    samplers = [EpochSampler(length, processes=processes, rank=r) for r in range(processes)]
    for epoch in (0, 4):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        shares = [list(sampler) for sampler in samplers]
        assert {len(share) for share in shares} == {length // processes} == {len(samplers[0])}
        start = epoch * length
        kept = length // processes * processes
        assert sorted(k for share in shares for k in share) == list(range(start, start + kept))
        # Their first batches are the first samples.
        assert {share[0] for share in shares} == set(range(start, start + processes))


class Three:
    """A pool of three samples that are their own keys."""

    def __len__(self) -> int:
        return 3

    def draw(self, key: int) -> Sample:
        image = torch.full((1, 2, 2), float(key)).numpy()
        mask = torch.zeros(2, 2, dtype=torch.uint8).numpy()
        return Sample(image, mask, mask == 0)


def test_filler_of_a_process_has_no_label() -> None:
    samples = [EvenDataset(Three(), 2)[key] for key in range(4)]
    assert len(EvenDataset(Three(), 2)) == 4
    assert [int(s["image"][0, 0, 0]) for s in samples] == [0, 1, 2, 0]
    assert [int((s["mask"] == IGNORE).sum()) for s in samples] == [0, 0, 0, 4]


def test_more_devices_than_there_are_is_refused() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(ConfigError, match=f"devices {count + 2}: this machine has {count} CUDA"):
        choose_device("cuda", count + 2)


def test_numbered_device_cannot_be_several(tiles_config: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="'cuda:1' is one device"):
        load_config(None, tiles_config("two", device="cuda:1", devices=2))
