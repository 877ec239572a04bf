from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from torch import Tensor, nn

from geoconvlora.errors import ConfigError
from geoconvlora.sam import PlainViTEncoder, PromptFreeDecoder, Segmenter, load_encoder
from geoconvlora.sam.decoder import DecoderSettings


def small_vit(**changes: Any) -> VisionTransformer:
    """A ViT of two narrow blocks whose every parameter is random."""
    torch.manual_seed(0)
    arguments = {"img_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 5}
    vit = VisionTransformer(**arguments | changes).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return vit


FLAVOURS: dict[str, dict[str, Any]] = {
    "class token": {},
    "registers": {"reg_tokens": 4},
    "no position for the class token": {"reg_tokens": 4, "no_embed_class": True},
    "no prefix, average pooling": {"class_token": False, "global_pool": "avg"},
    "no positions": {"pos_embed": "none"},
    "norm before": {"pre_norm": True},
    "qk norms": {"qk_norm": True},
    "no biases": {"qkv_bias": False, "proj_bias": False},
    "layer scale": {"init_values": 0.1},
    "norm of patches": {"embed_norm_layer": nn.LayerNorm},
    "dropout, off in evaluation": {"drop_path_rate": 0.2, "attn_drop_rate": 0.1},
}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_tokens_equal_timms(flavour: str) -> None:
    vit = small_vit(**FLAVOURS[flavour])
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = vit.forward_features(image)
        found = PlainViTEncoder(vit).forward_features(image)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(48, 112), (32, 128), (16, 16), (96, 96)])
@pytest.mark.parametrize("flavour", ["registers", "no position for the class token"])
def test_tokens_of_other_sizes_equal_timms_dynamic_ones(
    flavour: str, height: int, width: int
) -> None:
    vit = small_vit(**FLAVOURS[flavour], dynamic_img_size=True)
    image = torch.randn(1, 3, height, width)
    with torch.no_grad():
        wanted = vit.forward_features(image)
        found = PlainViTEncoder(vit).forward_features(image)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_gradients_equal_timms() -> None:
    vit = small_vit(reg_tokens=1, init_values=0.1)
    image = torch.randn(1, 3, 64, 64)
    vit.forward_features(image).square().sum().backward()
    named = [(n, p) for n, p in vit.named_parameters() if p.grad is not None]
    wanted = {n: p.grad.clone() for n, p in named}
    vit.zero_grad()
    encoder = PlainViTEncoder(vit)
    encoder.forward_features(image).square().sum().backward()
    found = {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_embeddings_are_the_map_through_the_neck() -> None:
    encoder = PlainViTEncoder(small_vit(reg_tokens=2))
    image = torch.randn(2, 3, 48, 80)
    with torch.no_grad():
        tokens = encoder.forward_features(image)
        assert tokens.shape == (2, 3 + 3 * 5, 48)
        on_map = tokens[:, 3:].transpose(1, 2).reshape(2, 48, 3, 5)
        found = encoder(image)
    assert found.shape == (2, 256, 3, 5)
    torch.testing.assert_close(found, encoder.neck(on_map))


def test_tensor_names_are_timms_and_the_necks() -> None:
    vit = small_vit(reg_tokens=1, init_values=0.1)
    names = {n for n in PlainViTEncoder(vit).state_dict() if not n.startswith("neck.")}
    assert names == {n for n in vit.state_dict() if not n.startswith("head.")}


@pytest.mark.parametrize("settings", [{}, {"head": "direct", "stem": True}])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 80)])
def test_segmenter_takes_a_vit_of_thirteen_bands(
    settings: dict[str, Any], height: int, width: int
) -> None:
    encoder = PlainViTEncoder(small_vit(in_chans=13))
    decoder = PromptFreeDecoder(encoder.size, 3, encoder.bands, DecoderSettings(**settings))
    network = Segmenter(encoder, decoder).eval()
    with torch.no_grad():
        logits = network(torch.randn(2, 13, height, width))
    assert logits.shape == (2, 3, height, width)


def test_recomputed_gradients_equal_plain_ones() -> None:
    encoder = PlainViTEncoder(small_vit())
    gradients: list[list[Tensor]] = []
    for recompute in (False, True):
        encoder.recompute = recompute
        encoder.zero_grad()
        encoder(torch.ones(1, 3, 48, 64)).square().sum().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients)


def test_architectures_are_built_by_timms_name() -> None:
    encoder = load_encoder("timm/vit_tiny_patch16_224", bands=2)
    assert encoder.size.depth == 12
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 2, 32, 64)).shape == (1, 256, 2, 4)


@pytest.mark.parametrize(
    "name",
    [
        "timm/vit_medium_nowhere",
        "timm/resnet18",
        "timm/vit_tiny_patch16_224.augreg_in21k",
        "timm/hf-hub:timm/vit_tiny_patch16_224",
    ],
)
def test_names_that_are_no_architecture_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no vision transformer"):
        load_encoder(name)


@pytest.mark.parametrize(
    ("vit", "message"),
    [
        (lambda: small_vit(patch_size=8), "patches of 8 x 8 pixels"),
        (lambda: small_vit(patch_drop_rate=0.5), "drops patches"),
        (lambda: small_vit(block_fn=ResPostBlock), "block 0"),
        (lambda: small_vit(norm_layer="rmsnorm"), "block 0"),
        (lambda: small_vit(scale_attn_norm=True), "block 0"),
        (lambda: small_vit(mlp_layer=timm.layers.SwiGLU), "block 0"),
        (lambda: small_vit(attn_layer="diff"), "block 0"),
        (lambda: small_vit(depth=0), "no blocks"),
        (lambda: timm.create_model("deit_tiny_distilled_patch16_224", depth=1), "Distilled"),
        (lambda: nn.Linear(2, 2), "Linear cannot be adapted"),
    ],
)
def test_what_is_not_plain_is_refused(vit: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PlainViTEncoder(vit())


def test_other_image_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiples of 16"):
        PlainViTEncoder(small_vit())(torch.zeros(1, 3, 60, 64))
