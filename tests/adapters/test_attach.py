import pytest
import torch

from geoconvlora.adapters import adapter_tensor_names, attach, auxiliary_loss, available, method_of
from geoconvlora.errors import ConfigError
from geoconvlora.sam import build_segmenter, load_encoder

METHODS = available()


@pytest.mark.parametrize("method", [m for m in METHODS if m != "vpt"])
def test_a_fresh_adapter_leaves_the_output_unchanged(method: str) -> None:
    encoder = load_encoder("vit_t")
    image = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        before = encoder(image)
        after = attach(encoder, method)(image)
    assert torch.equal(before, after)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in {"bitfit", "full"}])
def test_the_encoders_own_weights_do_not_train(method: str) -> None:
    plain = set(load_encoder("vit_t").state_dict())
    network = build_segmenter("vit_t", classes=2)
    attach(network.encoder, method)
    names = {name for name, _ in network.trainable()}
    assert not {f"encoder.{name}" for name in plain} & names
    assert {n for n in names if n.startswith("decoder.")} == {
        f"decoder.{n}" for n, _ in network.decoder.named_parameters()
    }


def test_fresh_prompts_change_the_softmax() -> None:
    encoder = load_encoder("vit_t")
    image = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        before = encoder(image)
        after = attach(encoder, "vpt")(image)
    assert not torch.equal(before, after)
    assert not method_of(encoder).identity


def test_bitfit_trains_nothing_but_biases() -> None:
    encoder = attach(load_encoder("vit_t"), "bitfit")
    training = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert training == {n for n, _ in encoder.named_parameters() if n.endswith(".bias")}


def test_the_patch_embedding_trains_with_more_than_three_bands() -> None:
    encoder = attach(load_encoder("vit_t", bands=4), "lora")
    training = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert {n for n in training if ".lora_" not in n} == {
        "patch_embed.proj.weight",
        "patch_embed.proj.bias",
    }
    assert training <= adapter_tensor_names(encoder)


@pytest.mark.parametrize("training", [False, True])
def test_adapted_layers_take_over_the_encoders_mode(training: bool) -> None:
    encoder = attach(load_encoder("vit_t").train(training), "conv-lora")
    assert {module.training for module in encoder.modules()} == {training}


def test_auxiliary_loss_is_zero_without_experts() -> None:
    encoder = attach(load_encoder("vit_t"), "lora").train()
    encoder(torch.randn(1, 3, 32, 32))
    assert auxiliary_loss(encoder) == 0


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("lorra", {}, "available are"),
        ("lora", {"rank": 0}, "rank"),
        ("conv-lora", {"depth": 3}, "experts"),
        ("conv-lora", {"experts": 2, "top_k": 3}, "top_k"),
        ("conv-lora", {"experts": 2, "scales": (1, 2, 3)}, "scales"),
    ],
)
def test_wrong_settings_are_refused(method: str, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        attach(load_encoder("vit_t"), method, **settings)


@pytest.mark.parametrize("training", [False, True])
def test_new_layers_are_in_the_encoders_mode(training: bool) -> None:
    encoder = attach(load_encoder("vit_t").train(training), "conv-lora")
    assert {module.training for module in encoder.modules()} == {training}


def test_attaching_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="already"):
        attach(attach(load_encoder("vit_t"), "lora"), "lora")
