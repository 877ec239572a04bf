from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from geoconvlora.errors import ModelFileError, OutputError, WeightsError
from geoconvlora.weights import find_base, find_model, read_card
from geoconvlora.weights.catalogue import (
    OFFICIAL,
    OfficialWeights,
    bundled_bases,
    bundled_models,
    known_bases,
    weights_home,
)
from geoconvlora.weights.store import pull, register, unregister


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEOCONVLORA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def known(server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's file as if Meta published it."""
    prefix = hashlib.sha256(server.content).hexdigest()[:6]
    name = f"sam_vit_b_{prefix}.pth"
    monkeypatch.setitem(OFFICIAL, name, OfficialWeights(name, "vit_b", 5))
    return name


def test_pulled_weights_are_found_by_name(server, known, home) -> None:
    stored = pull(known, url=server.url)
    assert stored.path == find_base(known) == home / "weights" / known
    (listed,) = (base for base in known_bases() if base.name == known)
    assert listed.present


def test_the_whole_sha256_is_recorded_and_asked_for_from_then_on(server, known, home) -> None:
    stored = pull(known, url=server.url)
    record = stored.path.with_name(f"{known}.sha256")
    assert record.read_text() == f"{stored.sha256}  {known}\n"
    # As if another file had the same first digits.
    record.write_text(f"{stored.sha256[:-1]}{int(stored.sha256[-1] == '0')}  {known}\n")
    with pytest.raises(WeightsError, match="damaged or another file"):
        pull(known, url=server.url)


def test_pulling_twice_fetches_once(server, known, home) -> None:
    assert pull(known, url=server.url) == pull(known, url=server.url)
    assert len(server.requests) == 1


def test_what_is_bundled_or_unknown_is_not_fetched(home) -> None:
    with pytest.raises(WeightsError, match="comes with the package"):
        pull(next(iter(bundled_bases())))
    with pytest.raises(WeightsError, match=r"no name of base weights; known: .*sam_vit_h"):
        pull("sam_vit_x.pth")


def test_addresses_are_metas(home) -> None:
    for weights in OFFICIAL.values():
        start = "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_"
        assert weights.url.startswith(start)
        assert weights.url.endswith(f"_{weights.sha256_prefix}.pth")


def test_a_registered_model_is_used_by_name(home) -> None:
    source = bundled_models()["fields"]
    stored = register(source, name="ours")
    assert find_model("ours") == stored.path == home / "models" / "ours.safetensors"
    assert read_card("ours") == read_card("fields")


def test_registered_base_weights_are_used_by_name(home) -> None:
    stored = register(next(iter(bundled_bases().values())), name="our-base")
    assert find_base("our-base") == stored.path
    assert "our-base" in [base.name for base in known_bases()]


def test_an_official_checkpoint_is_verified_before_it_is_registered(server, known, home, tmp_path):
    file = tmp_path / known
    file.write_bytes(server.content)
    assert register(file).path == weights_home() / known
    file.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="damaged or another file"):
        register(file, overwrite=True)
    assert find_base(known).read_bytes() == server.content


def test_a_name_is_taken_once(home) -> None:
    source = bundled_models()["fields"]
    register(source, name="ours")
    with pytest.raises(OutputError, match="ours is registered already"):
        register(source, name="ours")
    register(source, name="ours", overwrite=True)


@pytest.mark.parametrize("name", ["../ours", ".ours", "a/b", "fields"])
def test_names_that_could_leave_the_folder_or_hide_another_are_refused(home, name) -> None:
    with pytest.raises(OutputError):
        register(bundled_models()["fields"], name=name)
    assert not home.exists()


@pytest.mark.parametrize(
    ("name", "said"), [("", "name is empty"), (" ", "name is empty"), ("n" * 300, "312 bytes")]
)
def test_name_that_no_file_can_have_is_refused_and_said(home, name, said, tmp_path) -> None:
    ours = tmp_path / "ours.safetensors"
    ours.write_bytes(bundled_models()["fields"].read_bytes())
    with pytest.raises(OutputError, match=said):
        register(ours, name=name)
    assert not home.exists()


def test_what_is_no_model_is_not_registered(home, tmp_path) -> None:
    file = tmp_path / "text.safetensors"
    file.write_text("no model")
    with pytest.raises(ModelFileError, match="damaged or no model file"):
        register(file)
    for absent in ("absent.safetensors", "absent.ckpt"):
        with pytest.raises(WeightsError, match="no such file"):
            register(tmp_path / absent)
    assert not home.exists()


def test_a_network_of_another_library_is_not_registered(home, tmp_path) -> None:
    checkpoint = tmp_path / "net.ckpt"
    checkpoint.write_bytes(b"")
    (tmp_path / "net.card.yaml").write_text("name: net")
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for source in (checkpoint, folder):
        with pytest.raises(ModelFileError, match="name the file itself with --model"):
            register(source)
    assert not home.exists()


def test_a_model_with_a_flipped_byte_is_not_registered(home, tmp_path) -> None:
    content = bytearray(bundled_models()["fields"].read_bytes())
    content[-1] ^= 1
    file = tmp_path / "flipped.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match="not as written"):
        register(file)
    assert not home.exists()


@pytest.mark.parametrize("first", ["base", "model"])
def test_a_base_and_a_model_cannot_share_a_name(home, first) -> None:
    sources = [next(iter(bundled_bases().values())), bundled_models()["fields"]]
    if first == "model":
        sources.reverse()
    register(sources[0], name="twin")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"twin is the name of .*twin\.safetensors"):
            register(sources[1], name="twin", overwrite=overwrite)


def test_a_home_that_is_a_file_is_said(monkeypatch, tmp_path) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("GEOCONVLORA_HOME", str(file))
    with pytest.raises(OutputError, match="cannot be written"):
        register(bundled_models()["fields"], name="ours")


def test_a_record_that_cannot_be_written_is_said(home, monkeypatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError, match=r"sha256 cannot be written: read only"):
        register(bundled_models()["fields"], name="ours")


def test_what_is_no_address_is_said(home) -> None:
    with pytest.raises(WeightsError, match=r"https://\[ is no address"):
        pull("sam_vit_b_01ec64.pth", url="https://[")


def test_unregister_removes_a_model_and_its_record_alone(home) -> None:
    kept = register(bundled_models()["fields"], name="kept")
    gone = register(bundled_models()["fields"], name="gone")
    assert unregister("gone") == gone.path
    assert sorted(p.name for p in (home / "models").iterdir()) == [
        "kept.safetensors",
        "kept.safetensors.sha256",
    ]
    assert find_model("kept") == kept.path


def test_unregister_removes_base_weights_by_their_name(server, known, home) -> None:
    ours = register(next(iter(bundled_bases().values())), name="our-base")
    theirs = pull(known, url=server.url)
    assert unregister("our-base") == ours.path
    assert unregister(known) == theirs.path
    assert [p.name for p in weights_home().iterdir() if not p.name.startswith(".")] == []


@pytest.mark.parametrize(
    "name", ["fields", "vit_t-fields", "absent", "../models/ours", "sam_vit_b_01ec64.pth"]
)
def test_what_is_not_registered_is_not_removed(home, name) -> None:
    register(bundled_models()["fields"], name="ours")
    with pytest.raises(WeightsError, match="is not registered"):
        unregister(name)
    assert find_model("ours").is_file()
    assert bundled_models()["fields"].is_file()


def test_what_was_put_there_by_hand_is_not_removed(home) -> None:
    by_hand = weights_home() / "by-hand.safetensors"
    by_hand.parent.mkdir(parents=True)
    by_hand.touch()
    with pytest.raises(WeightsError, match="put there by hand"):
        unregister("by-hand")
    assert by_hand.is_file()
