from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import yaml

from geoconvlora.errors import ConfigError
from geoconvlora.training.config_file import differing_keys, load_config, save_config

CONFIGS = Path(__file__).parents[2] / "configs"
BASE = CONFIGS / "fields_base.yaml"
SHRINKING = {"head": "direct", "stem": True, "shrink": 2}


def edited(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "edited.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(BASE.read_text()) | changes))
    return path


def class_of(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": number, "name": f"class {number}", "color": "#000000", **changes}


def test_override_beats_file_and_none_does_not() -> None:
    plain = load_config(BASE)
    changed = load_config(BASE, {"optim.epochs": 3, "optim.lr": None})
    assert changed.optim.epochs == 3
    assert changed.optim.lr == plain.optim.lr


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path: Path) -> None:
    path = edited(tmp_path, optim=None)
    path.write_text(path.read_text().replace("optim: null", "optim: {lr: 1e-3}"))
    assert yaml.safe_load(path.read_text())["optim"]["lr"] == "1e-3"
    assert load_config(path).optim.lr == 0.001


def test_saved_configuration_reads_back_equal(tmp_path: Path) -> None:
    config = load_config(BASE, {"tile_size": 128})
    save_config(config, tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml") == config


def test_differing_keys_are_dotted() -> None:
    one, other = load_config(BASE), load_config(BASE, {"optim.lr": 5e-4, "seed": 9})
    assert differing_keys(one, other) == ["optim.lr", "seed"]
    assert differing_keys(one, one) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optim": {"learning_rate": 1}}, ["optim.learning_rate", "unknown key", "weight_decay"]),
        ({"optim": {"lr": -1}}, ["optim.lr", "greater than 0", "-1"]),
        ({"colour": 1}, ["colour", "unknown key"]),
        ({"tile_size": 100}, ["tile_size", "multiple of 16"]),
        ({"map_tile_size": 100}, ["map_tile_size", "multiple of 16"]),
        (
            {"model": {"size": "vit_t", "method": "full", "decoder": SHRINKING}, "tile_size": 80},
            ["tile_size 80", "multiple of 32"],
        ),
        (
            {
                "model": {"size": "vit_t", "method": "full", "decoder": SHRINKING},
                "map_tile_size": 80,
            },
            ["map_tile_size 80", "multiple of 32"],
        ),
        (
            {"model": {"size": "vit_t", "method": "full", "decoder": {"shrink": 0}}},
            ["model.decoder.shrink", "not 0"],
        ),
        ({"map_tile_size": 96, "map_overlap": 49}, ["map_overlap 49", "half of 96"]),
        ({"map_reductions": [2, 1]}, ["map_reductions", "first must be 1"]),
        ({"map_tile_size": 112, "map_reductions": [1, 2]}, ["map_tile_size", "multiple of 32"]),
        ({"loss": {"class_weights": [1, 2]}}, ["class_weights", "2 values for 3 classes"]),
        ({"loss": {"class_weights": [1, -1, 1]}}, ["loss.class_weights.1", "greater than", "-1"]),
        ({"loss": {"class_weights": [1, inf, 1]}}, ["loss.class_weights.1", "finite", "inf"]),
        ({"loss": {"class_weights": [1, nan, 1]}}, ["loss.class_weights.1", "nan"]),
        ({"loss": {"class_weights": [0, 0, 0]}}, ["loss", "at least one must be above 0"]),
        (
            {"loss": {"name": "dice", "class_weights": [1, 2, 3]}},
            ["loss", "class_weights is for cross-entropy", "'dice'"],
        ),
        (
            {"loss": {"name": "structure-faithful", "boundary_width_px": 2}},
            ["loss", "boundary_width_px is for cross-entropy", "'structure-faithful'"],
        ),
        ({"loss": {"region_weight": inf}}, ["loss.region_weight", "finite", "inf"]),
        ({"loss": {"boundary_weight": inf}}, ["loss.boundary_weight", "finite"]),
        ({"optim": {"lr": inf}}, ["optim.lr", "finite"]),
        ({"optim": {"weight_decay": inf}}, ["optim.weight_decay", "finite"]),
        ({"optim": {"rates": {"decoder": inf}}}, ["optim.rates.decoder", "finite"]),
        (
            {"model": {"base": "vit_t-fields", "method": "lora", "settings": {"alpha": inf}}},
            ["model", "settings.alpha is inf"],
        ),
        ({"resolution": {"gsd_m": inf}}, ["resolution.gsd_m", "finite"]),
        ({"scaling": {"kind": "percentile", "low": 98, "high": 2}}, ["scaling", "low 98"]),
        ({"classes": [class_of(0, name=" "), class_of(1), class_of(2)]}, ["class 0 has no name"]),
        ({"classes": [class_of(0)]}, ["classes", "at least 2 items"]),
        ({"loss": {"name": "structure-intended"}}, ["structure-intended", "2 classes, not 3"]),
        ({"instances": None}, ["instances"]),
        ({"data": {"kind": "video"}}, ["data", "video"]),
        ({"model": {"size": "vit_t", "method": "lora"}}, ["model", "base"]),
        ({"out": "model.pth"}, ["model.pth", ".safetensors"]),
    ],
)
def test_error_names_file_and_key(tmp_path: Path, changes: dict, words: list[str]) -> None:
    path = edited(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_one_bad_entry_of_a_list_is_one_error(tmp_path: Path) -> None:
    path = edited(tmp_path, classes=[class_of(0, color="blue"), class_of(1)], instances=None)
    with pytest.raises(ConfigError, match=r"classes\.0\.color") as caught:
        load_config(path)
    assert "at least" not in str(caught.value)


@pytest.mark.parametrize("content", ["a: [1", "- just\n- a list\n", "\x00\xff"])
def test_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_config(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_tiles_configuration_of_the_fixture_is_valid(
    tiles_config: Callable[..., dict[str, Any]],
) -> None:
    assert load_config(None, tiles_config("model")).optim.epochs == 2
