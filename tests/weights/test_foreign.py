"""Networks of other libraries: what they compute, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import segmentation_models_pytorch as smp
import torch
import yaml
from affine import Affine
from lightning.pytorch import Trainer
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from geoconvlora.cli import app
from geoconvlora.errors import ConfigError, ModelFileError
from geoconvlora.weights import load, read_card
from geoconvlora.weights.report import describe_weights, is_weights

try:
    from torchgeo.tasks import SemanticSegmentation
except ImportError:
    from torchgeo.trainers import SemanticSegmentationTask as SemanticSegmentation

DOCS = Path(__file__).parents[2] / "docs" / "foreign_models.md"


def card_of(classes: int = 3, bands: int = 4, **changes: Any) -> dict[str, Any]:
    return {
        "name": "unet",
        "task": "classes",
        "classes": [{"id": i, "name": f"c{i}", "color": "#00ff00"} for i in range(classes)],
        "bands": [{"name": f"b{i}", "mean": 0.1 * i, "std": 2.0} for i in range(bands)],
        "scaling": {"scale": 0.01},
        "tile_size": 64,
        **changes,
    }


def unet(**changes: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    settings = {
        "encoder_name": "mobilenet_v2",
        "encoder_weights": None,
        "encoder_depth": 3,
        "decoder_channels": (16, 8, 8),
        "in_channels": 4,
        "classes": 3,
    }
    return smp.Unet(**{**settings, **changes}).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Save a U-Net as segmentation-models-pytorch does, with a card beside it."""

    def save(network: torch.nn.Module | None = None, **card: Any) -> Path:
        path = tmp_path / "unet"
        (network or unet()).save_pretrained(path)
        (path / "card.yaml").write_text(yaml.safe_dump(card_of(**card)))
        return path

    return save


def change(path: Path, **settings: Any) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **settings}))


def logits_of(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(images)


def test_folder_computes_what_its_library_computes(folder: Callable[..., Path]) -> None:
    network = unet()
    model = load(folder(network))
    images = torch.randn(2, 4, 64, 64)
    assert torch.equal(logits_of(model.network, images), logits_of(network, images))
    assert not model.network.training
    assert model.card.base is None


def test_weights_are_not_downloaded_and_activation_is_left_out(
    folder: Callable[..., Path],
) -> None:
    path = folder()
    images = torch.randn(1, 4, 64, 64)
    expected = logits_of(load(path).network, images)
    change(path, encoder_weights="imagenet", activation="softmax2d")
    assert torch.equal(logits_of(load(path).network, images), expected)


def test_one_output_is_the_probability_of_class_one(folder: Callable[..., Path]) -> None:
    network = unet(classes=1)
    model = load(folder(network, classes=2))
    images = torch.randn(1, 4, 64, 64)
    found = logits_of(model.network, images).softmax(dim=1)[:, 1]
    torch.testing.assert_close(found, logits_of(network, images).sigmoid()[:, 0])


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:`isinstance")
@pytest.mark.parametrize(
    ("task", "settings", "classes"),
    [
        ("multiclass", {"model": "fcn", "num_filters": 4, "num_classes": 3}, 3),
        ("multiclass", {"model": "unet", "backbone": "mobilenet_v2", "num_classes": 3}, 3),
        ("binary", {"model": "fcn", "num_filters": 4, "loss": "bce"}, 2),
    ],
)
def test_checkpoint_of_torchgeo_computes_what_its_task_computes(
    tmp_path: Path, task: str, settings: dict[str, Any], classes: int
) -> None:
    trained = SemanticSegmentation(in_channels=4, task=task, **settings)
    batch = {"image": torch.randn(4, 64, 64), "mask": torch.zeros(64, 64, dtype=torch.long)}
    trainer = Trainer(
        max_steps=1,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader([batch, batch], batch_size=2)
    trainer.fit(trained, loader, loader)
    trainer.save_checkpoint(tmp_path / "net.ckpt")
    card = card_of(classes=classes)
    (tmp_path / "net.card.json").write_text(json.dumps(card))
    images = torch.randn(1, 4, 64, 64)
    found = logits_of(load(tmp_path / "net.ckpt").network, images)
    expected = logits_of(trained.eval(), images)
    if task == "binary":
        torch.testing.assert_close(found.softmax(dim=1)[:, 1:], expected.sigmoid())
    else:
        assert torch.equal(found, expected)


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must not run",))


def test_checkpoint_with_code_is_refused_unrun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.card.yaml").write_text(yaml.safe_dump(card_of()))
    torch.save({"hyper_parameters": {"loss": Code()}, "state_dict": {}}, tmp_path / "net.ckpt")
    with pytest.raises(ModelFileError, match=r"run code of its own .*save_pretrained"):
        load(tmp_path / "net.ckpt")
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
def test_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.card.yaml").write_text(yaml.safe_dump(card_of()))
    (tmp_path / "net.ckpt").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"net\.ckpt is damaged"):
        load(tmp_path / "net.ckpt")


@pytest.mark.parametrize(
    ("card", "fault"),
    [
        ({"bands": 3}, "takes 4 bands, but its card names 3"),
        ({"classes": 2}, "has 3 outputs, but its card names 2 classes"),
        ({"method": "lora"}, "method is for models of this package"),
        ({"colour": "red"}, "colour: unknown key"),
        ({"task": "instances"}, "instance rule"),
    ],
)
def test_card_that_does_not_fit_is_refused_without_torch(
    folder: Callable[..., Path], card: dict[str, Any], fault: str
) -> None:
    path = folder(**card)
    with pytest.raises(ModelFileError, match=fault):
        read_card(path)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"_model_class": "system"}, "no network 'system'"),
        ({"encoder_name": "resnet9000"}, "cannot be built"),
        ({"decoder_channels": [8, 8, 8]}, "does not fit its tensors"),
        ({"activation": "tanh"}, "'tanh', which is no softmax"),
        ({"aux_params": {"classes": 2}}, "also classifies"),
    ],
)
def test_folder_that_describes_another_network_is_refused(
    folder: Callable[..., Path], settings: dict[str, Any], fault: str
) -> None:
    path = folder()
    change(path, **settings)
    with pytest.raises(ModelFileError, match=fault):
        load(path)


def test_tiles_that_do_not_fit_the_stride_are_refused(folder: Callable[..., Path]) -> None:
    deep = unet(encoder_depth=5, decoder_channels=(16, 8, 8, 8, 8))
    with pytest.raises(ModelFileError, match=r"tile_size 48 of its card is no multiple of .* 32"):
        load(folder(deep, tile_size=48))
    model = load(folder(deep))
    with pytest.raises(ConfigError, match=r"48 x 64 pixels .* multiple of 32"):
        model.network(torch.zeros(1, 4, 48, 64))


def test_weights_with_nan_are_refused(folder: Callable[..., Path]) -> None:
    path = folder()
    tensors = load_file(path / "model.safetensors")
    next(t for t in tensors.values() if t.is_floating_point()).view(-1)[0] = float("nan")
    save_file(tensors, path / "model.safetensors")
    with pytest.raises(ModelFileError, match="NaN"):
        load(path)


def test_network_without_a_card_is_refused(folder: Callable[..., Path]) -> None:
    path = folder()
    (path / "card.yaml").unlink()
    with pytest.raises(ModelFileError, match=r"write .*card\.yaml .*docs/foreign_models\.md"):
        read_card(path)
    with pytest.raises(ModelFileError, match=r"a folder without config\.json"):
        read_card(path.parent)


def test_base_weights_for_a_whole_network_are_refused(folder: Callable[..., Path]) -> None:
    with pytest.raises(ModelFileError, match="without base weights"):
        load(folder(), base="vit_t-fields")


def test_card_is_shown(folder: Callable[..., Path]) -> None:
    path = str(folder())
    assert is_weights(path)
    assert describe_weights(path)["bands"][1] == {"name": "b1", "mean": 0.1, "std": 2.0}


def test_example_of_the_documentation_is_a_card(folder: Callable[..., Path]) -> None:
    text = DOCS.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    path = folder(unet(in_channels=8))
    (path / "card.yaml").write_text(text)
    card = read_card(path)
    assert (len(card.bands), len(card.classes), card.tile_size) == (8, 3, 256)
    assert card.instances is not None
    load(path)


def test_scene_is_mapped_as_the_network_maps_it_in_one_piece(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(1, 255, (4, 64, 64), dtype=np.uint8)
    with rasterio.open(
        tmp_path / "scene.tif",
        "w",
        driver="GTiff",
        height=64,
        width=64,
        count=4,
        dtype="uint8",
        crs="EPSG:32631",
        transform=Affine(10, 0, 500_000, 0, -10, 5_600_000),
    ) as raster:
        raster.write(values)
    network = unet()
    path = folder(network)
    outputs = [tmp_path / name for name in ("map.tif", "map.gpkg", "probs.tif")]
    arguments = ["predict", tmp_path / "scene.tif", "-m", path, "--bands", "1,2,3,4"]
    arguments += ["-o", outputs[0], "-o", outputs[1], "--probs", outputs[2], "--simplify", 0]
    result = CliRunner().invoke(app, [str(a) for a in [*arguments, "--device", "cpu"]])
    assert result.exit_code == 0, result.output
    mean = np.arange(4, dtype=np.float32)[:, None, None] * 0.1
    images = torch.from_numpy(((values * np.float32(0.01) - mean) / 2).astype(np.float32))
    expected = logits_of(network, images[None])[0].softmax(dim=0).numpy()
    with rasterio.open(outputs[2]) as raster:
        np.testing.assert_allclose(raster.read(), expected, atol=1e-5)
    with rasterio.open(outputs[0]) as raster:
        assert (raster.read(1) == expected.argmax(axis=0)).mean() > 0.999
    polygons = gpd.read_file(outputs[1])
    assert polygons.area.sum() == pytest.approx(640 * 640, rel=1e-6)
