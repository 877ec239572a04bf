"""Every method on a plain ViT of timm's."""

from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters import attach, auxiliary_loss, available, method_of
from geoconvlora.adapters.conv_lora import ConvLoRALinear
from geoconvlora.errors import ConfigError
from geoconvlora.sam import PlainViTEncoder, PromptFreeDecoder, Segmenter, load_encoder

METHODS = available()
BANDS = 13


def small_vit(**changes: Any) -> VisionTransformer:
    torch.manual_seed(0)
    arguments = {"img_size": 64, "in_chans": BANDS, "embed_dim": 48, "depth": 2, "num_heads": 3}
    return VisionTransformer(**arguments | changes).eval()


def disturbed(method: str, **settings: Any) -> PlainViTEncoder:
    """An adapted ViT whose every parameter is random, so that nothing hides behind a zero."""
    encoder = attach(small_vit(reg_tokens=2, init_values=0.5), method, **settings)
    assert isinstance(encoder, PlainViTEncoder)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return encoder


def trained(encoder: nn.Module) -> set[str]:
    return {n for n, p in encoder.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("method", [m for m in METHODS if m != "vpt"])
def test_a_fresh_adapter_leaves_timms_tokens_unchanged(method: str) -> None:
    vit = small_vit(reg_tokens=2)
    image = torch.randn(2, BANDS, 64, 64)
    with torch.inference_mode():
        before = vit.forward_features(image)
        after = attach(vit, method).forward_features(image)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "vpt"])
def test_a_fresh_adapter_changes_no_bit_of_the_embeddings(method: str) -> None:
    encoder = PlainViTEncoder(small_vit())
    image = torch.randn(1, BANDS, 48, 80)
    with torch.inference_mode():
        before = encoder(image)
        assert attach(encoder, method) is encoder
        after = encoder(image)
    if method == "conv-lora":
        # Its qkv sees class token and map one after the other: products of other shapes.
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(after, before)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "full"])
def test_gradients_reach_the_methods_own_parameters_and_the_neck_alone(method: str) -> None:
    vit = small_vit()
    of_vit = set(vit.state_dict())
    encoder = attach(vit, method).train()
    decoder = PromptFreeDecoder(encoder.size, 2, BANDS)
    # A zero at the start of a branch hides what is before it.
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    network = Segmenter(encoder, decoder)
    (network(torch.randn(2, BANDS, 64, 48)).square().mean() + auxiliary_loss(network)).backward()
    reached = {n for n, p in encoder.named_parameters() if p.grad is not None}
    assert reached == trained(encoder)
    assert {n for n in trained(encoder) if n.startswith("neck.")} == {
        f"neck.{n}" for n, _ in encoder.neck.named_parameters()
    }
    of_method = {n for n in reached if not n.startswith("neck.")}
    if method == "bitfit":
        assert of_method == {n for n in of_vit if n.endswith(".bias") and "head" not in n}
    else:
        assert not of_method & of_vit
        assert of_method or method == "decoder-only"


def test_full_trains_all_but_the_classifier() -> None:
    vit = small_vit()
    names = {n for n in vit.state_dict() if not n.startswith("head.")}
    assert {n for n in trained(attach(vit, "full")) if not n.startswith("neck.")} == names


@pytest.mark.parametrize(
    ("method", "settings"),
    [("lora", {"rank": 4}), ("ssf", {}), ("ssf", {"neck": True}), ("bitfit", {})],
)
def test_merged_encoder_equals_the_adapted_one(method: str, settings: dict[str, Any]) -> None:
    encoder = disturbed(method, **settings)
    image = torch.randn(1, BANDS, 64, 80)
    with torch.inference_mode():
        adapted = encoder(image)
        method_of(encoder).merge(encoder)
        merged = encoder(image)
    plain = PlainViTEncoder(small_vit(reg_tokens=2, init_values=0.5))
    assert set(encoder.state_dict()) == set(plain.state_dict())
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("faithful", [False, True])
def test_conv_lora_sees_the_map_and_other_tokens_get_its_low_rank_part(faithful: bool) -> None:
    encoder = disturbed("conv-lora", rank=2, experts=3, faithful=faithful)
    attention = encoder.blocks[0].attn
    layer = attention.qkv
    assert isinstance(layer, ConvLoRALinear)
    tokens = torch.randn(2, 3 + 4 * 5, 48)
    seen: list[Tensor] = []
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        found = attention._project(tokens, (4, 5))
        on_map = torch.stack([t[3:].reshape(4, 5, 48) for t in tokens])
        low = F.linear(tokens[:, :3], layer.lora_a)
        before = F.linear(tokens[:, :3], layer.weight, layer.bias)
        before = before + layer.scale * F.linear(low, layer.lora_b)
        assert torch.equal(seen[0], on_map)
        torch.testing.assert_close(found[:, :3], before)
        torch.testing.assert_close(found[:, 3:], layer(on_map).reshape(2, 20, 144))


def test_experts_mix_neighbours_on_the_map() -> None:
    encoder = disturbed("conv-lora", experts=1)
    tokens = torch.randn(1, 3 + 25, 48)
    moved = tokens.clone()
    moved[0, 3 + 12] += 1.0  # the middle of five by five
    with torch.no_grad():
        attention = encoder.blocks[0].attn
        change = attention._project(moved, (5, 5)) - attention._project(tokens, (5, 5))
    touched = change[0].abs().amax(-1) > 1e-5
    wanted = torch.zeros(5, 5, dtype=torch.bool)
    wanted[1:4, 1:4] = True
    assert touched.tolist() == [False] * 3 + wanted.flatten().tolist()


def plain_attention(layer: nn.Module, x: Tensor) -> Tensor:
    """Attention with prompts as extra tokens that no one asks about, by plain products."""
    count = x.shape[1]
    if layer.prompts is not None:
        x = torch.cat([x, layer.prompts.expand(len(x), -1, -1)], dim=1)
    qkv = layer.qkv(x).reshape(len(x), x.shape[1], 3, layer.num_heads, -1)
    q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
    q, k = layer.q_norm(q), layer.k_norm(k)
    out = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v
    return layer.proj(out.transpose(1, 2).flatten(2)[:, :count])


@pytest.mark.parametrize("qk_norm", [False, True])
def test_prompts_are_further_tokens_of_the_attention(qk_norm: bool) -> None:
    encoder = attach(small_vit(qk_norm=qk_norm), "vpt", prompts=3)
    attention = encoder.blocks[1].attn
    x = torch.randn(2, 1 + 12, 48)
    with torch.no_grad():
        found = attention(x, (3, 4))
        torch.testing.assert_close(found, plain_attention(attention, x), rtol=1e-4, atol=1e-5)
        attention.prompts = None
        assert not torch.allclose(found, attention(x, (3, 4)))


def test_lst_reads_and_changes_the_map_alone() -> None:
    encoder = disturbed("lst", reduction=4)
    side = encoder.side
    image = torch.randn(1, BANDS, 32, 48)
    tokens: list[Tensor] = []
    for block in encoder.blocks:
        block.register_forward_pre_hook(lambda _, inputs: tokens.append(inputs[0]))
        block.register_forward_hook(lambda _, inputs, output: tokens.append(output))
    with torch.no_grad():
        found = encoder.forward_features(image)
        on_map = [t[:, 3:].reshape(1, 2, 3, 48) for t in tokens]
        state = side.down[0](on_map[0])
        for index in range(2):
            state = side.step(index, state, on_map[2 * index + 1])
        last = tokens[-1].clone()
        last[:, 3:] += side.up(state).flatten(1, 2)
        torch.testing.assert_close(found, encoder.norm(last))


def test_sam_adapter_prompts_the_map_alone() -> None:
    encoder = disturbed("sam-adapter", ratio=4)
    image = torch.randn(1, BANDS, 32, 48)
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    for block in encoder.blocks:
        block.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        block.register_forward_hook(lambda _, given, output: outputs.append(output))
    with torch.no_grad():
        encoder.forward_features(image)
        features = encoder.prompter.features(image, encoder.patch_embed(image))
        added = encoder.prompter.prompt(1, features).flatten(1, 2)
    change = inputs[1] - outputs[0]
    assert torch.equal(change[:, :3], torch.zeros(1, 3, 48))
    torch.testing.assert_close(change[:, 3:], added, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("place", ["mlp", "attention-and-mlp", "parallel"])
def test_adapters_change_the_tokens_at_each_place(place: str) -> None:
    encoder = disturbed("adapter", place=place, bottleneck=4)
    image = torch.randn(1, BANDS, 32, 48)
    names = [n for n in trained(encoder) if n.endswith("adapter_up.weight")]
    assert len(names) == (4 if place == "attention-and-mlp" else 2)
    with torch.no_grad():
        before = encoder(image)
        for name in names:
            found = before.clone()
            parameter = encoder.get_parameter(name)
            parameter.zero_()
            before = encoder(image)
            assert not torch.equal(found, before)


def test_ssf_is_refused_where_layers_have_no_bias_and_changes_nothing() -> None:
    encoder = PlainViTEncoder(small_vit(qkv_bias=False))
    kinds = [type(m) for m in encoder.modules()]
    with pytest.raises(ConfigError, match="without bias"):
        attach(encoder, "ssf")
    assert [type(m) for m in encoder.modules()] == kinds
    attach(encoder, "lora")


@pytest.mark.parametrize("method", ["lora", "conv-lora"])
def test_low_rank_methods_need_no_bias(method: str) -> None:
    encoder = attach(small_vit(qkv_bias=False), method)
    assert encoder(torch.randn(1, BANDS, 32, 32)).shape == (1, 256, 2, 2)


def test_another_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="Linear cannot be adapted"):
        attach(nn.Linear(3, 3), "lora")


def test_a_vit_that_was_built_by_name_trains_its_neck_too() -> None:
    encoder = attach(load_encoder("timm/vit_tiny_patch16_224"), "lora")
    assert {n.split(".")[0] for n in trained(encoder)} == {"neck", "blocks"}
