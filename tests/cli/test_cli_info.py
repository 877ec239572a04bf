from __future__ import annotations

import json

import pytest

from geoconvlora.weights.card import ModelCard


def test_scene_as_json(run, scene) -> None:
    done = run("info", scene, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert (report["height"], report["width"]) == (80, 100)
    assert (report["crs"], report["dtype"], report["nodata"]) == ("EPSG:32631", "uint8", "0")
    assert report["gsd_m"] == pytest.approx(10, rel=1e-3)
    assert report["bounds"] == [600_000, 5_599_200, 601_000, 5_600_000]
    assert [band["name"] for band in report["bands"]] == ["red", "green", "blue"]
    assert report["valid_fraction"] == 1 - 20 * 50 / 8000


def test_scene_as_table(run, scene) -> None:
    done = run("info", scene)
    assert done.returncode == 0
    for word in ("EPSG:32631", "uint8", "gsd_m", "green", "600000, 5599200, 601000, 5600000"):
        assert word in done.stdout


def test_model_as_json_is_its_whole_card(run, card_file) -> None:
    path = card_file()
    done = run("info", path, "--json")
    assert done.returncode == 0
    card = ModelCard.model_validate_json(done.stdout)
    assert card.name == "test"
    assert [each.name for each in card.classes] == ["ground", "crop"]


def test_model_as_table_shows_every_field(run, card_file) -> None:
    done = run("info", card_file())
    for field in ModelCard.model_fields:
        assert field in done.stdout


def test_model_is_known_by_its_content(run, card_file) -> None:
    card = card_file()
    path = card.rename(card.with_suffix(".anything"))
    assert json.loads(run("info", path, "--json").stdout)["name"] == "test"


def test_bundled_base_is_known_by_its_name(run) -> None:
    done = run("info", "vit_t-fields", "--json")
    assert json.loads(done.stdout)["size"] == "vit_t"


@pytest.mark.parametrize("name", ["none.tif", "none.safetensors", "none"])
def test_missing_file_is_exit_2(run, name: str) -> None:
    done = run("info", name)
    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert name in done.stderr
