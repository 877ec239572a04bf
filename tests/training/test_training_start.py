"""Training that goes on from a model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_files import CLASSES
from typer.testing import CliRunner

from geoconvlora.cli import app
from geoconvlora.errors import ConfigError, ModelFileError
from geoconvlora.sam import build_segmenter
from geoconvlora.training.config_file import load_config, save_config
from geoconvlora.training.run import train
from geoconvlora.training.start import filled_by_model
from geoconvlora.training.task import task_of
from geoconvlora.weights import read_card, save_base

Build = Callable[..., dict[str, Any]]
THREE = [*CLASSES, {"id": 2, "name": "road", "color": "#112233"}]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def model(tiles: Path, tiles_config: Build) -> Path:
    """A small Conv-LoRA model, trained on the tiles."""
    base = save_base(tiles / "tiny.safetensors", build_segmenter("vit_t", classes=2))
    options = tiles_config(
        "first",
        **{
            "model.base": str(base),
            "model.method": "conv-lora",
            "model.settings": {"rank": 2, "experts": 2},
            "data_lines": ["eight tiles (CC0)"],
            "optim.epochs": 1,
            "optim.lr": 0.03,
        },
    )
    result = train(load_config(None, options))
    assert result.model is not None
    return result.model


def going_on(build: Build, model: Path, out: str, **changes: Any) -> dict[str, Any]:
    """Options that leave to the model what it says."""
    base = str(model.with_name("tiny.safetensors"))
    options = build(out, **{"init": str(model), "model.base": base, **changes})
    for key in ("model.size", "model.method", "classes", "bands"):
        if key not in changes:
            del options[key]
    return options


def test_run_starts_with_the_models_weights(tiles: Path, tiles_config: Build, model: Path) -> None:
    config = load_config(None, going_on(tiles_config, model, "second"))
    card = read_card(model)
    assert config.model.method == "conv-lora"
    assert config.model.settings == card.method_settings
    assert (config.classes, config.scaling) == (card.classes, card.scaling)
    assert config.split.absent_classes == "warn"
    assert config.optim.lr < load_config(None, tiles_config("plain")).optim.lr
    assert [band.mean for band in config.bands] == [band.mean for band in card.bands]
    network = task_of(config).model.state_dict()
    stored = load_file(model)
    assert all(torch.equal(network[name], tensor) for name, tensor in stored.items())


def test_result_is_another_model_that_names_all_data(
    tiles: Path, tiles_config: Build, model: Path
) -> None:
    options = going_on(tiles_config, model, "second", data_lines=["mine"])
    result = train(load_config(None, {**options, "optim.epochs": 1}))
    assert result.model is not None
    assert read_card(result.model).training.data == ("mine", "eight tiles (CC0)")
    one, other = load_file(model), load_file(result.model)
    assert one.keys() == other.keys()
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_saved_configuration_of_such_a_run_reads_back_equal(
    tmp_path: Path, tiles_config: Build, model: Path
) -> None:
    config = load_config(None, going_on(tiles_config, model, "second"))
    save_config(config, tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml") == config


def test_other_classes_start_anew_and_the_adapter_does_not(
    tiles: Path, tiles_config: Build, model: Path
) -> None:
    options = going_on(tiles_config, model, "second", classes=THREE)
    with pytest.warns(UserWarning, match="tensors .* start anew"):
        network = task_of(load_config(None, options)).model.state_dict()
    stored = load_file(model)
    adapter = [name for name in stored if name.startswith("encoder.")]
    assert adapter
    assert all(torch.equal(network[name], stored[name]) for name in adapter)


def test_another_method_than_the_models_is_refused(tiles_config: Build, model: Path) -> None:
    options = going_on(tiles_config, model, "second", **{"model.method": "lora"})
    with pytest.raises(ConfigError, match=r"model\.method is 'lora', .* 'conv-lora': leave out"):
        load_config(None, options)


def test_other_base_weights_are_refused(tiles: Path, tiles_config: Build, model: Path) -> None:
    torch.manual_seed(5)
    other = save_base(tiles / "other.safetensors", build_segmenter("vit_t", classes=2))
    options = going_on(tiles_config, model, "second", **{"model.base": str(other)})
    with pytest.raises(ModelFileError, match="is for the base weights"):
        task_of(load_config(None, options))


def test_unknown_model_is_refused(tiles_config: Build) -> None:
    with pytest.raises(ModelFileError, match="no model of that name"):
        load_config(None, tiles_config("second", init="none"))


def test_command_goes_on_from_a_model_without_a_configuration(tiles: Path, model: Path) -> None:
    arguments = ["--images", tiles / "images", "--labels", tiles / "labels", "--init", model,
                 "--base", tiles / "tiny.safetensors", "-o", tiles / "second.safetensors",
                 "--epochs", "1", "--num-workers", "0", "--device", "cpu"]  # fmt: skip
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    card = read_card(tiles / "second.safetensors")
    assert [c.name for c in card.classes] == [c["name"] for c in CLASSES]
    assert card.training.config["init"] == str(model)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("split", "random", "split: Input should be .*'random'"),
        ("optim", ["fast"], "optim: Input should be"),
        ("model", "conv-lora", "model: Input should be .*'conv-lora'"),
        ("init", True, "init is True: give the name"),
    ],
)
def test_section_that_is_none_is_refused(
    tmp_path: Path, key: str, value: object, said: str
) -> None:
    data = {"kind": "tiles", "images": tmp_path, "labels": tmp_path / "labels"}
    options = {"init": "fields", "data": data, "out": tmp_path / "m.safetensors", key: value}
    with pytest.raises(ConfigError, match=said):
        load_config(None, options)


@pytest.mark.parametrize(("tile_size", "kept"), [(256, True), (96, False)])
def test_sizes_at_which_the_model_maps_are_kept_where_tiles_allow_it(
    tile_size: int, kept: bool
) -> None:
    card = read_card("fields")
    told = nullcontext() if kept else pytest.warns(UserWarning, match="set map_tile_size")
    with told:
        filled = filled_by_model({"init": "fields", "tile_size": tile_size})
    assert len(card.reductions) > 1
    assert filled.get("map_reductions") == (list(card.reductions) if kept else None)
