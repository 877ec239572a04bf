import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from geoconvlora.adapters import attach
from geoconvlora.errors import ModelFileError, OutputError, WeightsError
from geoconvlora.sam import Segmenter, build_segmenter
from geoconvlora.weights import ModelCard, load, read_card, save_base, save_model, sha256_of
from geoconvlora.weights.card import Band, BaseWeights, ClassInfo

DECODER = {"head": "direct", "stem": True}


def card(base: Path | None, method: str = "conv-lora", **changes: object) -> ModelCard:
    sha256 = None if base is None else sha256_of(base)
    fields = {
        "name": "test",
        "task": "classes",
        "base": BaseWeights(name=str(base), size="vit_t", sha256=sha256),
        "method": method,
        "decoder": DECODER,
        "classes": [ClassInfo(id=i, name=f"c{i}", color="#000000") for i in range(2)],
        "bands": [Band(name=n, mean=0.5, std=0.25) for n in ("red", "green", "blue")],
    }
    return ModelCard.model_validate({**fields, **changes})


@pytest.fixture
def base(tmp_path: Path) -> Path:
    network = build_segmenter("vit_t", classes=2, decoder=DECODER)
    return save_base(tmp_path / "base.safetensors", network)


def adapted(base: Path, method: str = "conv-lora") -> Segmenter:
    network = build_segmenter("vit_t", classes=2, checkpoint=base, decoder=DECODER)
    attach(network.encoder, method)
    with torch.no_grad():
        for _, parameter in network.trainable():
            parameter.add_(torch.randn_like(parameter) * 0.01)
    return network.eval()


@pytest.mark.parametrize("method", ["conv-lora", "lora", "decoder-only"])
def test_saved_and_loaded_network_gives_the_same_bits(
    tmp_path: Path, base: Path, method: str
) -> None:
    network = adapted(base, method)
    file = save_model(tmp_path / "m.safetensors", network, card(base, method))
    loaded = load(file).network
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(image), network(image))


def test_full_network_needs_no_base(tmp_path: Path) -> None:
    network = build_segmenter("vit_t", classes=2, decoder=DECODER)
    attach(network.encoder, "full")
    file = save_model(tmp_path / "m.safetensors", network, card(None, "full"))
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(load(file).network(image), network(image))


def test_frozen_encoder_is_not_in_the_file(tmp_path: Path, base: Path) -> None:
    file = save_model(tmp_path / "m.safetensors", adapted(base), card(base))
    with safe_open(file, "pt") as tensors:
        names = set(tensors.keys())
    assert {n for n in names if n.startswith("encoder.")}
    assert all(".lora_" in n for n in names if n.startswith("encoder."))
    assert file.stat().st_size < base.stat().st_size / 4


def test_card_round_trips(tmp_path: Path, base: Path) -> None:
    written = card(base, description="d", licence="CC0-1.0")
    file = save_model(tmp_path / "m.safetensors", adapted(base), written)
    assert read_card(file) == written


def test_other_base_weights_are_refused(tmp_path: Path, base: Path) -> None:
    file = save_model(tmp_path / "m.safetensors", adapted(base), card(base))
    torch.manual_seed(1)
    other = build_segmenter("vit_t", classes=2, decoder=DECODER)
    save_base(base, other, overwrite=True)
    with pytest.raises(ModelFileError, match="sha256"):
        load(file)


def test_missing_base_weights_are_said(tmp_path: Path, base: Path) -> None:
    file = save_model(tmp_path / "m.safetensors", adapted(base), card(base))
    base.unlink()
    with pytest.raises(WeightsError, match="not on this computer"):
        load(file)


def test_unknown_format_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    save_file({"x": torch.zeros(1)}, file, {"geoconvlora": json.dumps({"format_version": 7})})
    with pytest.raises(ModelFileError, match="format version 7"):
        read_card(file)


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 100])
def test_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "m.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged"):
        read_card(file)


def test_truncated_file_is_refused(tmp_path: Path, base: Path) -> None:
    file = save_model(tmp_path / "m.safetensors", adapted(base), card(base))
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="damaged"):
        load(file)


def test_file_without_card_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(ModelFileError, match="no model card"):
        read_card(file)


def test_tensors_that_the_card_does_not_describe_are_refused(tmp_path: Path, base: Path) -> None:
    wrong = card(base).model_copy(update={"method": "lora"})
    file = save_model(tmp_path / "m.safetensors", adapted(base), wrong)
    with pytest.raises(ModelFileError, match="do not fit"):
        load(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, base: Path, value: float) -> None:
    network = adapted(base)
    with torch.no_grad():
        next(network.decoder.parameters()).view(-1)[-1] = value
    file = save_model(tmp_path / "m.safetensors", network, card(base))
    with pytest.raises(ModelFileError, match=r"m\.safetensors holds NaN or infinity \(in decoder"):
        load(file)


def test_existing_file_is_kept(tmp_path: Path, base: Path) -> None:
    file = save_model(tmp_path / "m.safetensors", adapted(base), card(base))
    before = file.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        save_model(file, adapted(base), card(base))
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": "#fff"}, "(colour: unknown key)"),
        ({"resolution": {"gsd_m": -1}}, "(resolution.gsd_m: Input should be greater than 0)"),
        ({"tile_size": 72}, "(tile_size 72 is not a multiple of 16)"),
    ],
)
def test_card_that_cannot_be_read_is_one_line(tmp_path: Path, change: dict, says: str) -> None:
    content = {**json.loads(card(None, "full").model_dump_json()), **change}
    file = tmp_path / "m.safetensors"
    save_file({"x": torch.zeros(1)}, file, {"geoconvlora": json.dumps(content)})
    with pytest.raises(ModelFileError) as refusal:
        read_card(file)
    assert f"{file}: its model card cannot be read {says}: " in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "pydantic" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "magic"}, "unknown method 'magic': available are "),
        ({"method": "lora", "method_settings": {"rank": 0}}, "lora setting 'rank': "),
        ({"decoder": {"head": "tail"}}, "decoder setting 'head': "),
        ({"decoder": {"hat": 1}}, "decoder setting 'hat': "),
    ],
)
def test_network_that_cannot_be_built_names_the_file(
    tmp_path: Path, change: dict, says: str
) -> None:
    file = tmp_path / "m.safetensors"
    text = card(None, **{"method": "full", **change}).model_dump_json()
    save_file({"x": torch.zeros(1)}, file, {"geoconvlora": text})
    with pytest.raises(ModelFileError) as refusal:
        load(file)
    assert str(refusal.value).startswith(f"{file}: ")
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "pydantic" not in str(refusal.value)


def test_name_too_long_is_refused(tmp_path: Path, base: Path) -> None:
    with pytest.raises(OutputError, match="choose one of"):
        save_model(tmp_path / f"{'m' * 250}.safetensors", adapted(base), card(base))


def test_missing_model_is_said() -> None:
    with pytest.raises(ModelFileError, match="no model of that name"):
        read_card("nowhere.safetensors")


def test_model_file_has_the_permissions_of_any_new_file(tmp_path: Path, base: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    file = save_model(tmp_path / "m.safetensors", adapted(base), card(base))
    assert file.stat().st_mode == base.stat().st_mode == plain.stat().st_mode


def test_one_changed_byte_among_the_weights_is_refused(tmp_path: Path, base: Path) -> None:
    file = save_model(tmp_path / "m.safetensors", adapted(base), card(base))
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match="is damaged"):
        load(file)
