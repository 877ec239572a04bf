"""Our task on torchgeo's data, torchgeo's task on ours, and both from YAML."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchgeo_files
import yaml
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.cli import LightningCLI
from torchgeo import datamodules
from torchgeo.main import main as torchgeo_main
from torchgeo_files import SIDE

from geoconvlora.sam import build_segmenter
from geoconvlora.training import ConvLoRASegmentation, SegmentationDataModule
from geoconvlora.training.config_file import load_config
from geoconvlora.training.sources import open_sources
from geoconvlora.weights import load, save_base, save_model, sha256_of
from geoconvlora.weights.card import BaseWeights, ModelCard

try:
    from torchgeo.tasks import SemanticSegmentation
except ImportError:
    from torchgeo.trainers import SemanticSegmentationTask as SemanticSegmentation


@pytest.fixture(autouse=True)
def _of_others() -> Iterator[None]:
    """Advice of Lightning, and what the libraries below deprecate among themselves.

    torchgeo's command sets GDAL's variables, after which no mask beside a file is seen any more.
    """
    torch.set_num_threads(1)
    before = dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(save_base(tmp_path / "tiny.safetensors", build_segmenter("vit_t", classes=2)))


def trainer(**settings: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        fast_dev_run=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def ftw(root: Path) -> LightningDataModule:
    torchgeo_files.fields_of_the_world(root)
    module = datamodules.FieldsOfTheWorldDataModule
    return module(batch_size=2, root=root, target="3-class")


def loveda(root: Path) -> LightningDataModule:
    torchgeo_files.loveda(root)
    return datamodules.LoveDADataModule(batch_size=2, root=root, scene=["rural"])


def solar_plants(root: Path) -> LightningDataModule:
    torchgeo_files.solar_plants(root)
    return datamodules.SolarPlantsBrazilDataModule(batch_size=2, patch_size=SIDE, root=root)


def sentinel2_nccm(root: Path) -> LightningDataModule:
    torchgeo_files.sentinel2_nccm(root)
    return datamodules.Sentinel2NCCMDataModule(
        batch_size=2,
        patch_size=SIDE,
        length=2,
        nccm_paths=root / "nccm",
        nccm_years=[2019],
        sentinel2_paths=root / "sentinel2" / "R10m",
        sentinel2_bands=["B02", "B03", "B04", "B08"],
    )


@pytest.mark.parametrize(
    ("make", "bands", "classes", "ignored"),
    [(ftw, 8, 3, 3), (loveda, 3, 8, 0), (solar_plants, 4, 2, 255), (sentinel2_nccm, 4, 5, 255)],
)
def test_our_task_trains_and_validates_on_torchgeos_data(
    make: Callable[[Path], LightningDataModule],
    bands: int,
    classes: int,
    ignored: int,
    tmp_path: Path,
    base: str,
) -> None:
    (tmp_path / "data").mkdir()
    task = ConvLoRASegmentation(
        base=base, in_channels=bands, num_classes=classes, ignore_index=ignored
    )
    before = {n: p.detach().clone() for n, p in task.named_parameters()}
    run = trainer()
    run.fit(task, make(tmp_path / "data"))
    assert 0 <= float(run.callback_metrics["val_mIoU"]) <= 1
    assert torch.isfinite(run.callback_metrics["train_loss"])
    for name, parameter in task.named_parameters():
        if not parameter.requires_grad:
            assert torch.equal(parameter, before[name])
    assert any(not torch.equal(p, before[n]) for n, p in task.named_parameters())


def test_task_trained_with_torchgeo_becomes_a_model_file(tmp_path: Path, base: str) -> None:
    (tmp_path / "data").mkdir()
    task = ConvLoRASegmentation(base=base, in_channels=4, num_classes=2)
    trainer().fit(task, solar_plants(tmp_path / "data"))
    card = ModelCard(
        name="solar",
        task="classes",
        base=BaseWeights(name=base, size="vit_t", sha256=sha256_of(Path(base))),
        method="conv-lora",
        classes=[{"id": i, "name": n, "color": "#00ff00"} for i, n in enumerate(("no", "yes"))],
        bands=[{"name": n, "mean": 0, "std": 1} for n in ("red", "green", "blue", "nir")],
    )
    path = save_model(tmp_path / "solar.safetensors", task.model, card)
    images = torch.randn(1, 4, 64, 64)
    with torch.inference_mode():
        assert torch.equal(load(path).network(images), task.eval()(images))


def test_torchgeos_task_trains_on_our_data(tiles_config: Callable[..., dict[str, Any]]) -> None:
    sources = open_sources(load_config(None, tiles_config("unused")))
    data = SegmentationDataModule(sources.train, sources.val, batch_size=3)
    task = SemanticSegmentation(model="fcn", num_filters=4, num_classes=2, ignore_index=255)
    run = trainer()
    run.fit(task, data)
    run.validate(task, data, verbose=False)
    assert torch.isfinite(run.callback_metrics["val_loss"])


def task_tree(base: str) -> dict[str, Any]:
    return {
        "base": base,
        "method": "lora",
        "settings": {"rank": 2},
        "in_channels": 4,
        "num_classes": 2,
        "labels": ["other", "panel"],
        "class_weights": [1.0, 2.0],
        "rates": {"adapter": 0.5},
        "loss": "focal+lovasz",
    }


def trainer_tree(folder: Path) -> dict[str, Any]:
    return {
        "accelerator": "cpu",
        "fast_dev_run": True,
        "enable_progress_bar": False,
        "default_root_dir": str(folder),
    }


def test_torchgeos_command_builds_our_task_from_yaml(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    torchgeo_files.solar_plants(tmp_path / "data")
    config = {
        "model": {
            "class_path": "geoconvlora.training.ConvLoRASegmentation",
            "init_args": task_tree(base),
        },
        "data": {
            "class_path": "SolarPlantsBrazilDataModule",
            "init_args": {"batch_size": 2, "patch_size": SIDE},
            "dict_kwargs": {"root": str(tmp_path / "data")},
        },
        "trainer": trainer_tree(tmp_path),
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    steps: list[str] = []
    step = ConvLoRASegmentation.training_step

    def counted(self: ConvLoRASegmentation, *arguments: Any) -> torch.Tensor:
        steps.append(self.hparams["loss"])
        return step(self, *arguments)

    monkeypatch.setattr(ConvLoRASegmentation, "training_step", counted)
    torchgeo_main(["fit", "--config", "run.yaml"])
    assert steps == ["focal+lovasz"]


def test_lightnings_command_builds_our_task_from_yaml(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    torchgeo_files.solar_plants(tmp_path / "data")
    config = {
        "model": task_tree(base),
        "data": {"batch_size": 2},
        "trainer": trainer_tree(tmp_path),
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path / "data")

    class Solar(datamodules.SolarPlantsBrazilDataModule):
        def __init__(self, batch_size: int = 2) -> None:
            super().__init__(batch_size, SIDE, root=tmp_path / "data")

    ran = LightningCLI(
        ConvLoRASegmentation,
        Solar,
        args=["fit", "--config", str(tmp_path / "run.yaml")],
        save_config_callback=None,
    )
    assert ran.model.hparams["rates"] == {"adapter": 0.5}
    assert ran.trainer.global_step == 1
