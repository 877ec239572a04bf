from pathlib import Path
from typing import Any

import pytest
import yaml
from compare_files import tree

from geoconvlora.compare import CompareConfig, load_compare_config
from geoconvlora.compare.config import RunKey
from geoconvlora.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "paper").glob("*.yaml"))


def write(tmp_path: Path, section: str = "", **changes: Any) -> Path:
    content = tree(tmp_path)
    part = content
    for key in section.split(".") if section else ():
        part = part[key]
    part.update(changes)
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_comparison_of_the_repository_is_valid(path: Path) -> None:
    assert list(load_compare_config(path).run_keys())


def test_row_is_named_by_its_method_and_has_its_own_settings(tmp_path: Path) -> None:
    rows = [
        {"method": "full", "overrides": {"optim.lr": 1e-5}},
        {"name": "lora-8", "method": "lora", "settings": {"rank": 8}},
    ]
    config = CompareConfig.model_validate(tree(tmp_path, methods=rows))
    runs = [
        config.run_config(RunKey(row, 1.0, 7), ("a", "b"), ("c",), 5, tmp_path)
        for row in ("full", "lora-8")
    ]
    assert [run.optim.lr for run in runs] == [1e-5, 3e-3]
    assert [run.model.settings for run in runs] == [{}, {"rank": 8}]
    assert {run.seed for run in runs} == {7}
    assert runs[0].out == tmp_path / "model.safetensors"


def test_runs_go_seed_by_seed(tmp_path: Path) -> None:
    config = CompareConfig.model_validate(tree(tmp_path, fractions=[0.1, 1]))
    keys = [(key.seed, key.fraction, key.row) for key in config.run_keys()]
    assert keys[:3] == [(0, 0.1, "decoder-only"), (0, 0.1, "conv-lora-r2"), (0, 1, "decoder-only")]
    assert len(set(keys)) == 8
    assert len({key.folder for key in config.run_keys()}) == 8


def test_written_configuration_reads_back_equal(tmp_path: Path) -> None:
    config = load_compare_config(write(tmp_path))
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(config.tree()))
    assert load_compare_config(tmp_path / "again.yaml") == config


def test_override_beats_the_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert load_compare_config(path, {"train.model.base": "b"}).train.model.base == "b"
    assert load_compare_config(path, {"train.device": None}).train.device == "cpu"


@pytest.mark.parametrize(
    ("section", "changes", "words"),
    [
        ("", {"methods": []}, "methods: .*at least 1"),
        ("", {"methods": [{"method": "lora"}, {"method": "lora"}]}, "methods: lora is there twice"),
        ("", {"methods": [{"name": "../x", "method": "lora"}]}, "methods.0.name: .*pattern"),
        ("", {"methods": [{"method": "lora", "rank": 3}]}, "methods.0.rank: unknown key"),
        ("", {"seeds": [1, 1]}, "seeds: 1 is there twice"),
        ("", {"seeds": [-1]}, "row decoder-only: seed: "),
        ("", {"fractions": [0.5, 0]}, "fractions: each must be above 0"),
        ("", {"test": {}}, "test: give images and labels, or a fraction"),
        ("", {"test": {"images": "x"}}, "test: images and labels go together"),
        ("", {"colour": 1}, "colour: unknown key; the keys here are train, methods, seeds"),
        ("train", {"out": "m.safetensors"}, "train.out: leave it out"),
        ("train", {"seed": 3}, "train.seed: leave it out"),
        ("train.model", {"method": "lora"}, "train.model.method: leave it out"),
        ("train.model", {"base": None}, "without base weights|name them with base"),
        ("train.data", {"kind": "synthetic"}, "train.data.kind: .*'tiles'"),
        ("train.data", {"train_tiles": ["a"], "val_tiles": ["b"]}, "train_tiles: leave it out"),
        ("train.optim", {"rate": 1}, "train.optim.rate: unknown key; the keys here are lr"),
    ],
)
def test_error_names_file_and_key(
    tmp_path: Path, section: str, changes: dict[str, Any], words: str
) -> None:
    path = write(tmp_path, section, **changes)
    with pytest.raises(ConfigError, match=words) as caught:
        load_compare_config(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", ["optim.epochs", "tile_size", "data.images", "seed"])
def test_row_cannot_leave_the_common_ground(tmp_path: Path, key: str) -> None:
    rows = [{"method": "lora", "overrides": {key: 1}}]
    with pytest.raises(ConfigError, match=rf"overrides: {key} is the same in all rows"):
        load_compare_config(write(tmp_path, methods=rows))


def test_wrong_override_is_named_by_row_and_key(tmp_path: Path) -> None:
    rows = [{"name": "fast", "method": "lora", "overrides": {"optim.speed": 1}}]
    with pytest.raises(ConfigError, match=r"methods: row fast: optim\.speed: unknown key"):
        load_compare_config(write(tmp_path, methods=rows))
