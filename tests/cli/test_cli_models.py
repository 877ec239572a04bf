from __future__ import annotations

import json
from pathlib import Path

import pytest

from geoconvlora.weights.catalogue import OFFICIAL


def test_list_names_what_is_bundled_and_what_meta_publishes(run) -> None:
    done = run("models", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    (fields,) = (model for model in listed["models"] if model["name"] == "fields")
    (base,) = (base for base in listed["bases"] if base["name"] == fields["base"])
    assert (base["size"], base["present"]) == ("vit_t", True)
    assert set(OFFICIAL) <= {base["name"] for base in listed["bases"]}


def test_list_as_table(run) -> None:
    done = run("models", "list")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("fields", "conv-lora", "vit_t", "sam_vit_h_4b8939.pth"):
        assert word in done.stdout


def test_show_is_the_whole_card(run) -> None:
    done = run("models", "show", "fields", "--json")
    card = json.loads(done.stdout)
    assert (card["name"], card["method"], card["licence"]) == ("fields", "conv-lora", "Apache-2.0")
    assert card["limits"]
    assert card["training"]["data"]


def test_show_for_people_is_of_a_page(run) -> None:
    shown = run("models", "show", "fields").stdout
    assert "rank 4, alpha 16, experts 4" in shown
    assert "id 1, name field, color #7fbf3f" in shown
    assert "config: printed with --json" in shown
    assert "{" not in shown
    assert len(shown.splitlines()) < 100


def test_show_of_an_unknown_model_is_exit_2(run) -> None:
    done = run("models", "show", "no-such-model")
    assert done.returncode == 2
    assert "no-such-model: no such model file" in done.stderr


def test_show_knows_every_name_that_list_shows(run) -> None:
    listed = json.loads(run("models", "list", "--json").stdout)
    for base in listed["bases"]:
        shown = json.loads(run("models", "show", base["name"], "--json").stdout)
        assert (shown["name"], shown["size"]) == (base["name"], base["size"])


def test_a_registered_model_is_listed_and_shown_by_name(run, model_file, tmp_path, monkeypatch):
    monkeypatch.setenv("GEOCONVLORA_HOME", str(tmp_path / "home"))
    assert run("models", "register", model_file, "--name", "ours").returncode == 0
    listed = json.loads(run("models", "list", "--json").stdout)
    assert "ours" in [model["name"] for model in listed["models"]]
    assert json.loads(run("models", "show", "ours", "--json").stdout)["name"] == "test"


def test_what_cannot_be_pulled_is_exit_2_and_leaves_nothing(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GEOCONVLORA_HOME", str(tmp_path / "home"))
    done = run("models", "pull", "sam_vit_b_01ec64.pth", "--url", "http://example.org/x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "weights are fetched by https only" in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.fixture
def damaged(run, model_file, tmp_path, monkeypatch) -> dict[str, Path]:
    """A damaged model and damaged base weights, in a folder with a model that is whole."""
    monkeypatch.setenv("GEOCONVLORA_HOME", str(tmp_path / "home"))
    run("models", "register", model_file, "--name", "ours")
    files = {
        "model": tmp_path / "home" / "models" / "broken.safetensors",
        "base": tmp_path / "home" / "weights" / "broken-base.safetensors",
    }
    for file in files.values():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"cut short")
    return files


def test_a_damaged_file_does_not_hide_the_others(run, damaged) -> None:
    done = run("models", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    names = {model["name"] for model in listed["models"]}
    assert {"ours", "fields"} <= names
    assert "broken" not in names
    assert "broken-base" not in [base["name"] for base in listed["bases"]]
    unreadable = {file["name"]: file["path"] for file in listed["unreadable"]}
    assert unreadable == {"broken": str(damaged["model"]), "broken-base": str(damaged["base"])}


def test_the_table_says_which_file_is_damaged(run, damaged) -> None:
    done = run("models", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ours" in done.stdout
    for file in damaged.values():
        assert f"{file.stem} cannot be used: {file} is damaged" in done.stdout


def test_show_names_the_damaged_file(run, damaged) -> None:
    for file in damaged.values():
        done = run("models", "show", file.stem)
        assert done.returncode == 2
        assert f"{file} is damaged" in done.stderr
    assert run("models", "show", "ours").returncode == 0


def test_an_unregistered_model_is_no_longer_listed(run, model_file, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GEOCONVLORA_HOME", str(tmp_path / "home"))
    stored = json.loads(run("models", "register", model_file, "--json").stdout)
    done = run("models", "unregister", "test", "--json")
    assert json.loads(done.stdout) == {"name": "test", "path": stored["path"]}
    listed = json.loads(run("models", "list", "--json").stdout)
    assert "test" not in [model["name"] for model in listed["models"]]
    assert run("models", "unregister", "test").returncode == 2
