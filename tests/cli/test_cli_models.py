from __future__ import annotations

import json

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
