"""Files of plain ViTs, as timm and torchgeo publish them, as base weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from geoconvlora.adapters import adapter_tensor_names, attach
from geoconvlora.errors import ConfigError, ModelFileError, WeightsError
from geoconvlora.sam import PlainViTEncoder, PromptFreeDecoder, Segmenter, load_encoder
from geoconvlora.sam.segmenter import build_segmenter
from geoconvlora.weights import (
    ModelCard,
    base_header,
    load,
    read_checkpoint,
    save_base,
    save_model,
    sha256_of,
)
from geoconvlora.weights.card import Band, BaseWeights, ClassInfo

SIZE = "timm/vit_tiny_patch16_224"
BANDS = 13
DECODER = {"head": "direct", "stem": True}


def published(bands: int = BANDS) -> nn.Module:
    """A ViT such as torchgeo's, with a classifier, and no number at its default."""
    torch.manual_seed(3)
    vit = timm.create_model("vit_tiny_patch16_224", in_chans=bands, num_classes=7).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return vit


def written(path: Path, vit: nn.Module) -> Path:
    tensors = vit.state_dict()
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return written(tmp_path / "vits16_sentinel2.pth", published())


def card(base: Path | None, method: str, bands: int = BANDS) -> ModelCard:
    sha256 = None if base is None else sha256_of(base)
    fields: dict[str, Any] = {
        "name": "test",
        "task": "classes",
        "base": BaseWeights(name=str(base), size=SIZE, sha256=sha256),
        "method": method,
        "decoder": DECODER,
        "classes": [ClassInfo(id=i, name=f"c{i}", color="#000000") for i in range(2)],
        "bands": [Band(name=f"B{i}", mean=0.5, std=0.25) for i in range(bands)],
    }
    return ModelCard.model_validate(fields)


def adapted(base: Path | None, method: str, bands: int = BANDS) -> Segmenter:
    network = build_segmenter(SIZE, classes=2, bands=bands, checkpoint=base, decoder=DECODER)
    attach(network.encoder, method)
    with torch.no_grad():
        for _, parameter in network.trainable():
            parameter.add_(torch.randn_like(parameter) * 0.01)
    return network.eval()


@pytest.mark.parametrize("name", ["vit.pth", "vit.safetensors"])
def test_file_loads_strictly_without_its_classifier(tmp_path: Path, name: str) -> None:
    vit = published()
    encoder = load_encoder(SIZE, written(tmp_path / name, vit), bands=BANDS)
    assert isinstance(encoder, PlainViTEncoder)
    assert encoder.fresh == ("neck.",)
    image = torch.randn(1, BANDS, 224, 224)
    with torch.inference_mode():
        found, wanted = encoder.forward_features(image), vit.forward_features(image)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_tensors_beside_an_epochs_number_are_found(tmp_path: Path) -> None:
    file = tmp_path / "training.pth"
    torch.save({"epoch": 3, "state_dict": published().state_dict()}, file)
    assert load_encoder(SIZE, file, bands=BANDS).fresh == ("neck.",)


def test_last_norm_that_a_file_lacks_starts_plain_and_trains(tmp_path: Path) -> None:
    tensors = {k: v for k, v in published().state_dict().items() if not k.startswith("norm.")}
    file = tmp_path / "moco.pth"
    torch.save(tensors, file)
    encoder = attach(load_encoder(SIZE, file, bands=BANDS), "lora")
    assert torch.equal(encoder.norm.weight, torch.ones(192))
    assert {"norm.weight", "norm.bias"} <= adapter_tensor_names(encoder)
    assert encoder.norm.weight.requires_grad


def test_bands_are_added_to_three_and_train(tmp_path: Path) -> None:
    file = written(tmp_path / "rgb.pth", published(bands=3))
    plain, wide = load_encoder(SIZE, file), load_encoder(SIZE, file, bands=5)
    grey = torch.randn(1, 1, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(
            wide.patch_embed(grey.expand(1, 5, 32, 48)),
            plain.patch_embed(grey.expand(1, 3, 32, 48)),
            rtol=1e-4,
            atol=1e-4,
        )
    assert "patch_embed.proj.weight" in adapter_tensor_names(attach(wide, "lora"))
    assert "patch_embed.proj.weight" not in adapter_tensor_names(attach(plain, "lora"))


def test_other_bands_are_refused(base: Path) -> None:
    with pytest.raises(WeightsError, match="is for 13 bands, not for 4"):
        load_encoder(SIZE, base, bands=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("blocks.3.attn.qkv.weight"), r"blocks\.3\.attn\.qkv\.weight"),
        (lambda t: t.update({"dist_token": torch.zeros(1)}), "dist_token"),
        (lambda t: t.update({"pos_embed": torch.zeros(1, 50, 192)}), "pos_embed"),
    ],
)
def test_other_tensors_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    tensors = published().state_dict()
    change(tensors)
    file = tmp_path / "other.pth"
    torch.save(tensors, file)
    with pytest.raises(WeightsError, match=message):
        load_encoder(SIZE, file, bands=BANDS)


def test_file_of_another_architecture_is_refused(base: Path) -> None:
    for size in ("vit_t", "timm/vit_small_patch16_224"):
        with pytest.raises(WeightsError, match="not for this encoder size"):
            load_encoder(size, base, bands=BANDS)


def test_names_with_a_prefix_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "wrapped.pth"
    torch.save({f"backbone.{k}": v for k, v in published().state_dict().items()}, file)
    with pytest.raises(WeightsError, match="holds backbone: it is neither"):
        read_checkpoint(file)


def test_model_file_is_no_base(tmp_path: Path, base: Path) -> None:
    file = save_model(tmp_path / "m.safetensors", adapted(base, "lora"), card(base, "lora"))
    with pytest.raises(WeightsError, match="may be a model file"):
        read_checkpoint(file)


@pytest.mark.parametrize("method", ["conv-lora", "bitfit", "decoder-only"])
def test_saved_and_loaded_network_gives_the_same_bits(
    tmp_path: Path, base: Path, method: str
) -> None:
    network = adapted(base, method)
    file = save_model(tmp_path / "m.safetensors", network, card(base, method))
    image = torch.randn(1, BANDS, 64, 96)
    with torch.inference_mode():
        assert torch.equal(load(file).network(image), network(image))


def test_model_file_holds_adapter_neck_and_decoder(tmp_path: Path, base: Path) -> None:
    network = adapted(base, "conv-lora")
    file = save_model(tmp_path / "m.safetensors", network, card(base, "conv-lora"))
    with safe_open(file, "pt") as tensors:
        names = [n for n in tensors.keys() if n.startswith("encoder.")]  # noqa: SIM118
    assert all(".lora_" in n or n.startswith("encoder.neck.") for n in names)
    assert {n.split(".")[1] for n in names} == {"blocks", "neck"}


def test_full_network_needs_no_base(tmp_path: Path) -> None:
    network = adapted(None, "full")
    file = save_model(tmp_path / "m.safetensors", network, card(None, "full"))
    image = torch.randn(1, BANDS, 32, 32)
    with torch.inference_mode():
        assert torch.equal(load(file).network(image), network(image))


def test_vit_that_the_user_built_is_saved_for_its_own_file(tmp_path: Path, base: Path) -> None:
    vit = timm.create_model("vit_tiny_patch16_224", in_chans=BANDS, num_classes=7)
    vit.load_state_dict(torch.load(base, weights_only=True))
    encoder = attach(vit, "lora")
    network = Segmenter(encoder, PromptFreeDecoder(encoder.size, 2, BANDS)).eval()
    plain = card(base, "lora").model_copy(update={"decoder": {}})
    file = save_model(tmp_path / "m.safetensors", network, plain)
    image = torch.randn(1, BANDS, 32, 32)
    with torch.inference_mode():
        assert torch.equal(load(file).network(image), network(image))


def test_other_base_weights_are_refused(tmp_path: Path, base: Path) -> None:
    file = save_model(tmp_path / "m.safetensors", adapted(base, "lora"), card(base, "lora"))
    torch.manual_seed(1)
    written(base, timm.create_model("vit_tiny_patch16_224", in_chans=BANDS))
    with pytest.raises(ModelFileError, match="sha256"):
        load(file)


def test_fully_trained_vit_is_a_base_with_its_neck_and_decoder(tmp_path: Path) -> None:
    network = adapted(None, "full")
    file = save_base(tmp_path / "own.safetensors", network, half=False)
    assert base_header(file)["size"] == SIZE
    again = build_segmenter(SIZE, classes=2, bands=BANDS, checkpoint=file, decoder=DECODER)
    assert again.encoder.fresh == ()
    image = torch.randn(1, BANDS, 32, 48)
    with torch.inference_mode():
        assert torch.equal(again(image), network(image))


def test_vit_without_a_name_is_no_base(tmp_path: Path) -> None:
    encoder = attach(published(), "full")
    network = Segmenter(encoder, PromptFreeDecoder(encoder.size, 2, BANDS))
    with pytest.raises(ConfigError, match="has no name"):
        save_base(tmp_path / "own.safetensors", network)
