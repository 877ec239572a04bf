import csv
import os
import signal
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from safetensors.torch import load_file
from training_files import write_raster

from geoconvlora.adapters import attach
from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.sam import build_segmenter
from geoconvlora.training.batches import Batches
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.config_file import load_config
from geoconvlora.training.export import Best, export
from geoconvlora.training.folder import RunFolder
from geoconvlora.training.run import train
from geoconvlora.training.task import ConvLoRASegmentation
from geoconvlora.weights import read_card, save_base
from geoconvlora.weights.card import Band

Build = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def config(tiles_config: Build) -> Callable[..., TrainConfig]:
    return lambda out, **changes: load_config(None, tiles_config(out, **changes))


@pytest.fixture
def base(tiles: Path) -> Path:
    return save_base(tiles / "tiny.safetensors", build_segmenter("vit_t", classes=2))


def same_weights(one: Path | None, other: Path | None) -> bool:
    assert one is not None
    assert other is not None
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def scores(run_folder: Path) -> list[dict[str, str]]:
    with (run_folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_one_seed_gives_the_same_weights_and_another_does_not(
    config: Callable[..., TrainConfig],
) -> None:
    once = {"optim.epochs": 1}
    one, two = train(config("one", **once)), train(config("two", **once))
    assert same_weights(one.model, two.model)
    assert not same_weights(one.model, train(config("three", seed=5, **once)).model)


def test_number_of_workers_changes_nothing(config: Callable[..., TrainConfig]) -> None:
    alone = train(config("alone", **{"optim.epochs": 1}))
    helped = train(config("helped", **{"optim.epochs": 1}, num_workers=2))
    assert same_weights(alone.model, helped.model)


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_equals_an_unbroken_one(
    config: Callable[..., TrainConfig], workers: int
) -> None:
    changes = {
        "optim.epochs": 3,
        "augment.brightness": 0.2,
        "optim.accumulate": 2,
        "num_workers": workers,
    }
    unbroken = train(config("unbroken", **changes))
    broken = config("broken", **changes)
    stopped = train(broken, max_minutes=1e-6)
    assert (stopped.model, stopped.epochs) == (None, 1)
    resumed = train(broken, resume=True)
    assert (resumed.epochs, resumed.best_epoch) == (3, unbroken.best_epoch)
    assert same_weights(unbroken.model, resumed.model)
    assert scores(unbroken.run_folder) == scores(resumed.run_folder)


def test_interrupted_run_keeps_its_epochs(config: Callable[..., TrainConfig]) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    broken = config("broken", **{"optim.epochs": 3})
    with pytest.raises(KeyboardInterrupt):
        train(broken, report=interrupt)
    assert not broken.out.exists()
    resumed = train(broken, resume=True)
    assert resumed.epochs == len(scores(resumed.run_folder)) == 3


def test_model_file_tells_all_of_the_run(config: Callable[..., TrainConfig], tiles: Path) -> None:
    base = save_base(tiles / "tiny.safetensors", build_segmenter("vit_t", classes=2))
    result = train(
        config(
            "adapted",
            **{
                "model.base": str(base),
                "model.method": "conv-lora",
                "model.settings": {"rank": 2},
                "optim.epochs": 1,
                "name": "halves",
                "data_lines": ["made up, CC0"],
            },
        )
    )
    assert result.model is not None
    card = read_card(result.model)
    assert (card.name, card.method, card.task) == ("halves", "conv-lora", "classes")
    assert card.base.sha256 is not None
    assert [c.name for c in card.classes] == ["other", "field"]
    assert [band.name for band in card.bands] == ["red", "green", "blue"]
    assert card.bands[0].mean > 30
    assert card.training.data == ("made up, CC0",)
    assert card.training.metrics["val_mIoU"] == pytest.approx(result.metrics["val_mIoU"])
    assert card.training.config["optim"]["epochs"] == 1
    assert {"geoconvlora", "torch", "torchgeo"} <= card.training.versions.keys()


@pytest.mark.parametrize("kind", ["model", "base"])
def test_diverged_weights_are_not_written(config: Callable[..., TrainConfig], kind: str) -> None:
    diverged = config("diverged", **{"model.export": kind})
    network = build_segmenter("vit_t", classes=2)
    attach(network.encoder, "full")
    with torch.no_grad():
        network.encoder.patch_embed.proj.weight[0, 0, 0, 0] = float("inf")
    bands = tuple(Band(name=name, mean=0, std=1) for name in ("red", "green", "blue"))
    with pytest.raises(ConfigError, match=r"epoch 3 hold NaN or infinity .*lower optim\.lr"):
        export(diverged, network, bands, Best(3, {}), epochs=3, samples=1)
    assert not diverged.out.exists()


def test_base_is_written_where_asked_for(config: Callable[..., TrainConfig]) -> None:
    result = train(config("base", **{"model.export": "base", "optim.epochs": 1}))
    assert result.model is not None
    adapted = build_segmenter("vit_t", classes=2, checkpoint=result.model)
    assert not torch.equal(
        adapted.encoder.patch_embed.proj.weight,
        build_segmenter("vit_t", classes=2).encoder.patch_embed.proj.weight,
    )


def test_training_learns(config: Callable[..., TrainConfig]) -> None:
    changes = {
        "model.decoder": {"head": "direct", "stem": True},
        "data.samples_per_epoch": 24,
        "optim.epochs": 2,
        "optim.lr": 3e-3,
    }
    result = train(config("learnt", **changes))
    assert result.metrics["val_mIoU"] > 0.8


def test_nothing_is_left_beside_model_and_run_folder(
    config: Callable[..., TrainConfig], tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiles / "elsewhere").mkdir()
    monkeypatch.chdir(tiles / "elsewhere")
    train(config("model", **{"optim.epochs": 1}))
    assert not list((tiles / "elsewhere").iterdir())
    names = {path.name for path in tiles.iterdir()} - {"images", "labels", "elsewhere"}
    assert names == {"model.safetensors", "model.run"}
    files = {path.name for path in (tiles / "model.run").iterdir()}
    pictures = {"curves.png", "samples.png"}
    assert files == {
        "config.yaml",
        "metrics.csv",
        "best.ckpt",
        "last.ckpt",
        "split.json",
        *pictures,
    }
    assert all(imread(tiles / "model.run" / name).shape[2] == 4 for name in pictures)


def test_existing_model_is_kept_without_overwrite(config: Callable[..., TrainConfig]) -> None:
    wanted = config("model")
    wanted.out.write_text("precious")
    with pytest.raises(OutputError, match=r"model\.safetensors exists"):
        train(wanted)
    assert wanted.out.read_text() == "precious"


def test_unfinished_run_is_kept_without_overwrite(config: Callable[..., TrainConfig]) -> None:
    wanted = config("model")
    train(wanted, max_minutes=1e-6)
    with pytest.raises(OutputError, match="--resume"):
        train(wanted)
    with pytest.raises(ConfigError, match=r"another optim\.lr, seed"):
        train(config("model", **{"optim.lr": 1e-5, "seed": 9}), resume=True)


def test_rule_for_objects_may_change_after_the_training(config: Callable[..., TrainConfig]) -> None:
    def wanted(line: float) -> TrainConfig:
        rule = {"interior": 1, "boundary": 0, "max_boundary": line}
        return config("model", **{"task": "instances", "instances": rule, "optim.epochs": 1})

    first = train(wanted(1.0))
    before = first.model.read_bytes()
    again = train(wanted(0.5), resume=True, overwrite=True)
    assert same_weights(first.model, again.model)
    assert again.model.read_bytes() != before
    assert read_card(again.model).instances.max_boundary == 0.5


def changed_label(tiles: Path) -> None:
    write_raster(tiles / "labels" / "0.tif", np.zeros((1, 64, 64), np.uint8))


def lost_tile(tiles: Path) -> None:
    (tiles / "images" / "7.tif").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [(changed_label, "pixels of other, and has"), (lost_tile, r"tiles were of the part .*7\.tif")],
)
def test_changed_data_is_not_resumed(
    config: Callable[..., TrainConfig],
    tiles: Path,
    change: Callable[[Path], None],
    said: str,
) -> None:
    wanted = config("model")
    train(wanted, max_minutes=1e-6)
    before = (wanted.run_folder / "split.json").read_bytes()
    change(tiles)
    with pytest.raises(ConfigError, match=f"data changed since the run .*{said}"):
        train(wanted, resume=True)
    assert (wanted.run_folder / "split.json").read_bytes() == before


def test_damaged_checkpoint_is_not_resumed(config: Callable[..., TrainConfig]) -> None:
    wanted = config("model")
    train(wanted, max_minutes=1e-6)
    last = RunFolder(wanted.run_folder).last
    whole = last.read_bytes()
    for size in (len(whole) // 2, 0):
        last.write_bytes(whole[:size])
        with pytest.raises(ConfigError, match=r"last\.ckpt is damaged: start anew"):
            train(wanted, resume=True)


def test_damaged_best_epoch_is_one_clear_error(config: Callable[..., TrainConfig]) -> None:
    wanted = config("model", **{"optim.epochs": 1})
    train(wanted)
    best = RunFolder(wanted.run_folder).best
    whole = best.read_bytes()
    best.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"best\.ckpt is damaged: start anew"):
        train(wanted, resume=True, overwrite=True)
    best.unlink()
    with pytest.raises(ConfigError, match=r"best\.ckpt cannot be read .* start anew"):
        train(wanted, resume=True, overwrite=True)


def test_card_counts_the_samples_that_the_network_saw(
    config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = full_memory(monkeypatch, 4, RuntimeError)
    result = train(config("counted", **{"optim.batch_size": 4}))
    assert result.model is not None
    assert read_card(result.model).training.samples == sum(sizes) == 8


def test_nothing_to_resume_is_refused(config: Callable[..., TrainConfig]) -> None:
    with pytest.raises(ConfigError, match="without --resume"):
        train(config("model"), resume=True)


def test_missing_folder_is_refused(config: Callable[..., TrainConfig], tiles: Path) -> None:
    with pytest.raises(OutputError, match="none"):
        train(config("model"), out=tiles / "none" / "model.safetensors")


def test_rehearsal_writes_nothing(config: Callable[..., TrainConfig], tiles: Path) -> None:
    before = set(tiles.iterdir())
    assert train(config("model"), dry_run=True).model is None
    assert set(tiles.iterdir()) == before


def test_loss_that_is_not_finite_stops_with_advice(config: Callable[..., TrainConfig]) -> None:
    with pytest.raises(ConfigError, match=r"lower optim\.lr"):
        train(config("model", **{"optim.lr": 1e30, "optim.clip": None, "optim.epochs": 20}))


def test_run_without_a_better_validation_stops_early(config: Callable[..., TrainConfig]) -> None:
    still = {"optim.lr": 1e-30, "optim.epochs": 5, "optim.patience": 1, "optim.ema": None}
    stopped = train(config("still", **still, **{"model.decoder": {"head": "direct"}}))
    assert stopped.model is not None
    assert (stopped.epochs, stopped.best_epoch) == (2, 1)
    assert read_card(stopped.model).training.epochs == 2
    weights = load_file(stopped.model)
    stopped.model.unlink()
    again = train(config("still", **still, **{"model.decoder": {"head": "direct"}}), resume=True)
    assert (again.epochs, again.best_epoch) == (2, 1)
    assert again.model is not None
    assert all(torch.equal(weights[k], v) for k, v in load_file(again.model).items())


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is an extra")
def test_tensorboards_events_are_written_where_asked_for(
    config: Callable[..., TrainConfig],
) -> None:
    folder = train(config("board", tensorboard=True, **{"optim.epochs": 1})).run_folder
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))


@pytest.mark.skipif(find_spec("tensorboard") is not None, reason="tensorboard is installed")
def test_tensorboard_that_is_not_installed_is_refused(config: Callable[..., TrainConfig]) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'geoconvlora\[tensorboard\]'"):
        train(config("board", tensorboard=True))


def full_memory(
    monkeypatch: pytest.MonkeyPatch, largest: int, error: type[RuntimeError], epoch: int = 0
) -> list[int]:
    """Let no more than ``largest`` samples fit from an epoch on; the sizes of batches that did."""
    sizes: list[int] = []
    step = ConvLoRASegmentation.training_step

    def limited(self: ConvLoRASegmentation, batch: Any, *place: int) -> torch.Tensor:
        size = len(batch["image"])
        if size > largest and self.current_epoch >= epoch:
            raise error("CUDA out of memory. Tried to allocate 2.00 GiB")
        sizes.append(size)
        return step(self, batch, *place)

    monkeypatch.setattr(ConvLoRASegmentation, "training_step", limited)
    return sizes


@pytest.mark.parametrize(
    ("error", "epoch", "expected"),
    [(torch.OutOfMemoryError, 0, [2, 2, 2, 2]), (RuntimeError, 1, [4, 2, 2])],
)
def test_batch_that_memory_does_not_hold_is_halved(
    config: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
    error: type[RuntimeError],
    epoch: int,
    expected: list[int],
) -> None:
    sizes = full_memory(monkeypatch, 2, error, epoch)
    wanted = config("halved", **{"optim.batch_size": 4, "split.fraction": 0.5})
    with pytest.warns(UserWarning, match="out of memory with 4 .* with 2, and 2 batches in an"):
        result = train(wanted)
    assert sizes == expected
    assert [row["step"] for row in scores(result.run_folder)] == ["1", "2"]
    assert result.model is not None


def test_sample_that_memory_does_not_hold_is_an_error(
    config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    full_memory(monkeypatch, 0, torch.OutOfMemoryError)
    with (
        pytest.warns(UserWarning, match="with 3 .* with 1, and 3"),
        pytest.raises(ConfigError, match="memory does not hold a batch of one sample"),
    ):
        train(config("full"))


@pytest.mark.parametrize("size", [12, 15, 7, 2])
def test_smaller_batches_make_the_same_steps(size: int) -> None:
    batches: Batches | None = Batches(size, 3, 10)
    while batches is not None:
        assert size * 10 == batches.size * batches.count
        assert size * 3 == batches.size * batches.accumulate
        last, batches = batches, batches.smaller()
        assert batches is None or batches.size <= last.size / 2
    assert last.size == 1


def killed_at(step: int, config: TrainConfig, *, resume: bool) -> None:
    """Train in a process that dies at a step of its own, as by kill -9."""
    original, steps = ConvLoRASegmentation.training_step, 0

    def mortal(self: ConvLoRASegmentation, batch: Any, *place: int) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps > step:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, batch, *place)

    ConvLoRASegmentation.training_step = mortal  # type: ignore[method-assign]
    train(config, resume=resume)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_run_killed_at_random_steps_ends_with_the_unbroken_runs_weights(
    config: Callable[..., TrainConfig], seed: int, base: Path
) -> None:
    changes = {
        "model.base": str(base),
        "model.method": "conv-lora",
        "optim.epochs": 3,
        "optim.batch_size": 2,
        "augment.contrast": 0.2,
    }
    unbroken = train(config("unbroken", **changes))
    broken = config("broken", **changes)
    rng = np.random.default_rng(seed)
    last = RunFolder(broken.run_folder).last
    for _ in range(2):
        process = get_context("fork").Process(
            target=killed_at,
            args=(int(rng.integers(1, 6)), broken),
            kwargs={"resume": last.exists()},
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not broken.out.exists()
    resumed = train(broken, resume=last.exists())
    assert same_weights(unbroken.model, resumed.model)
    assert scores(unbroken.run_folder) == scores(resumed.run_folder)
