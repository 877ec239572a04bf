"""Conv-LoRA against a slow, literal version of the official layer."""

from dataclasses import replace

import pytest
import torch
from literal_conv_lora import literal_expert, literal_layer
from pydantic import ValidationError
from torch import Tensor, nn

from geoconvlora.adapters import attach, auxiliary_loss, expert_usage, method_of
from geoconvlora.adapters.conv_lora import ConvLoRA, ConvLoRALinear
from geoconvlora.errors import ConfigError
from geoconvlora.sam import SIZES, ImageEncoder


def small_encoder() -> ImageEncoder:
    """Two blocks, the first with windows of 8 x 8 tokens."""
    torch.manual_seed(4)
    size = replace(SIZES["vit_t"], depth=2, global_blocks=(1,))
    return ImageEncoder(size).eval()


def layer(faithful: bool = False, **settings: object) -> ConvLoRALinear:
    torch.manual_seed(3)
    made = ConvLoRALinear(nn.Linear(12, 36), ConvLoRA(faithful=faithful, **settings)).eval()
    nn.init.normal_(made.lora_b)
    return made


def route_to(made: ConvLoRALinear, expert: int) -> None:
    """Make the gate choose one expert for every map whose pooled features are not zero."""

    def choose(pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        chosen = torch.full((len(pooled), 1), expert)
        return chosen, torch.ones(len(pooled), 1), torch.zeros(())

    made.lora_gate.forward = choose  # type: ignore[method-assign]


@pytest.mark.parametrize("expert", range(8))
@pytest.mark.parametrize(("rows", "columns"), [(14, 14), (10, 17)])
def test_every_route_equals_the_literal_layer(expert: int, rows: int, columns: int) -> None:
    made = layer(faithful=True)
    route_to(made, expert)
    x = torch.randn(2, rows, columns, 12)
    torch.testing.assert_close(made(x), literal_layer(made, x, [expert] * 2), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("expert", range(8))
def test_gradients_equal_the_literal_layers(expert: int) -> None:
    x = torch.randn(2, 9, 11, 12)
    gradients = []
    for slow in (False, True):
        made = layer(faithful=True)
        route_to(made, expert)
        out = literal_layer(made, x, [expert] * 2) if slow else made(x)
        out.square().mean().backward()
        gradients.append({n: p.grad for n, p in made.named_parameters() if p.grad is not None})
    assert {"lora_a", "lora_b", f"lora_experts.{expert}.weight"} <= gradients[1].keys()
    for name, wanted in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], wanted, rtol=1e-4, atol=1e-5)
    others = [g for n, g in gradients[0].items() if "experts" in n and f".{expert}." not in n]
    assert len(others) == 14
    assert not any(g.any() for g in others)


def test_maps_of_a_batch_go_to_the_experts_that_their_own_features_choose() -> None:
    made = layer(faithful=True)
    with torch.no_grad():
        made.lora_gate.weight.normal_()
    x = torch.randn(6, 8, 8, 12) + torch.randn(6, 1, 1, 12)
    pooled = (x @ made.lora_a.T).mean(dim=(1, 2))
    route = (pooled @ made.lora_gate.weight).argmax(1).tolist()
    assert len(set(route)) > 1
    torch.testing.assert_close(made(x), literal_layer(made, x, route), rtol=1e-5, atol=1e-4)


def test_default_gate_weighs_the_expert_by_its_probability() -> None:
    made = layer()
    nn.init.normal_(made.lora_gate.weight)
    x = torch.randn(6, 8, 8, 12) + torch.randn(6, 1, 1, 12)
    scores = (x @ made.lora_a.T).mean(dim=(1, 2)) @ made.lora_gate.weight
    shares, route = scores.softmax(1).max(1)
    assert len(set(route.tolist())) > 1
    wanted = literal_layer(made, x, route.tolist(), list(shares))
    torch.testing.assert_close(made(x), wanted, rtol=1e-5, atol=1e-4)


def test_faithful_layer_in_attention_equals_the_literal_one_in_each_padded_window() -> None:
    encoder = attach(small_encoder(), "conv-lora", faithful=True)
    attention = encoder.blocks[0].attn
    made, window = attention.qkv, encoder.blocks[0].window_size
    nn.init.normal_(made.lora_b)
    nn.init.normal_(made.lora_gate.weight, std=9)
    x = torch.randn(1, window + 3, window + 2, 192)
    padded = torch.zeros(1, 2 * window, 2 * window, 192)
    padded[:, : window + 3, : window + 2] = x
    halves = slice(0, window), slice(window, None)
    cut = torch.cat([padded[:, rows, columns] for rows in halves for columns in halves])
    route = ((cut @ made.lora_a.T).mean(dim=(1, 2)) @ made.lora_gate.weight).argmax(1).tolist()
    assert len(set(route)) > 1
    wanted = literal_layer(made, cut, route)
    found = []
    made.register_forward_hook(lambda _, args, out: found.append((args[0], out)))
    attention(x, window)
    torch.testing.assert_close(found[0][0], cut)
    torch.testing.assert_close(found[0][1], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("top_k", [1, 3])
def test_gate_by_position_equals_a_loop_over_positions(top_k: int) -> None:
    made = layer(gate="position", top_k=top_k)
    nn.init.normal_(made.lora_gate.weight, std=9)
    x = torch.randn(2, 5, 4, 12)
    z = (x @ made.lora_a.T).permute(0, 3, 1, 2)
    outputs = [literal_expert(z, e, e.scale) for e in made.lora_experts]
    mixed = z.clone()
    used = set()
    for i, row, column in torch.cartesian_prod(*map(torch.arange, (2, 5, 4))).tolist():
        shares = (z[i, :, row, column] @ made.lora_gate.weight).softmax(0)
        for expert in shares.topk(top_k).indices.tolist():
            mixed[i, :, row, column] += shares[expert] * outputs[expert][i, :, row, column]
            used.add(expert)
    assert len(used) > 1
    frozen = x @ made.weight.T + made.bias
    wanted = frozen + made.scale * mixed.permute(0, 2, 3, 1) @ made.lora_b.T
    torch.testing.assert_close(made(x), wanted, rtol=1e-4, atol=1e-4)


def test_fusion_averages_all_experts_without_a_gate() -> None:
    made = layer(mixing="average", experts=3)
    x = torch.randn(2, 5, 6, 12)
    wanted = sum(literal_layer(made, x, [e] * 2) for e in range(3)) / 3
    torch.testing.assert_close(made(x), wanted, rtol=1e-5, atol=1e-4)
    assert not [name for name in made.state_dict() if "gate" in name]
    assert made.auxiliary is None


def test_a_fixed_scale_is_one_expert_without_a_gate() -> None:
    made = layer(mixing="average", experts=1, scales=(4,))
    x = torch.randn(2, 5, 6, 12)
    z = (x @ made.lora_a.T).permute(0, 3, 1, 2)
    mixed = (z + literal_expert(z, made.lora_experts[0], 4)).permute(0, 2, 3, 1)
    wanted = x @ made.weight.T + made.bias + made.scale * mixed @ made.lora_b.T
    torch.testing.assert_close(made(x), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"faithful": True, "gate": "position"},
        {"faithful": True, "mixing": "average"},
        {"faithful": True, "top_k": 2},
        {"faithful": True, "noise": False},
        {"mixing": "average", "top_k": 2},
        {"mixing": "average", "gate": "position"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict) -> None:
    with pytest.raises(ValidationError, match=r"official layer|has no gate"):
        ConvLoRA(**settings)


EVERY_KIND = [
    {"faithful": True},
    {"gate": "image", "top_k": 2},
    {"gate": "window"},
    {"gate": "position"},
    {"mixing": "average", "gate": "window"},
    {"mixing": "average", "experts": 1, "scales": (4,)},
    {"experts": 1},
    {"noise": False},
]


@pytest.mark.parametrize("settings", EVERY_KIND)
def test_a_fresh_layer_is_exactly_the_frozen_one(settings: dict) -> None:
    frozen = nn.Linear(12, 36)
    made = ConvLoRALinear(frozen, ConvLoRA(**settings)).train()
    x = torch.randn(3, 5, 7, 12)
    assert torch.equal(made(x), frozen(x))


@pytest.mark.parametrize("settings", EVERY_KIND)
def test_every_parameter_has_a_gradient_in_training(settings: dict) -> None:
    made = layer(**settings).train()
    loss = made(torch.randn(2, 6, 6, 12)).mean()
    (loss if made.auxiliary is None else loss + made.auxiliary).backward()
    own = {n: p for n, p in made.named_parameters() if n.startswith("lora_")}
    assert all(p.grad is not None for p in own.values())


@pytest.mark.parametrize("settings", EVERY_KIND)
def test_bf16_autocast_is_close_and_finite_on_large_values(settings: dict) -> None:
    made = layer(**settings)
    x = torch.randn(2, 6, 6, 12)
    wanted = made(x)
    with torch.autocast("cpu", torch.bfloat16):
        found, large = made(x), made(100 * x)
    assert found.dtype == torch.bfloat16
    assert (found - wanted).norm() < 2e-2 * wanted.norm()
    assert torch.isfinite(large).all()
    made.train()
    with torch.autocast("cpu", torch.bfloat16):
        made(100 * x).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


def test_tensors_have_the_names_and_shapes_of_model_files() -> None:
    made = layer(rank=4, alpha=16, experts=4)
    wanted = {"lora_a": (4, 12), "lora_b": (36, 4)}
    wanted |= {"lora_gate.weight": (4, 4), "lora_gate.noise": (4, 4)}
    for expert in range(4):
        wanted |= {f"lora_experts.{expert}.weight": (4, 4, 3, 3)}
        wanted |= {f"lora_experts.{expert}.bias": (4,)}
    state = {n: tuple(t.shape) for n, t in made.state_dict().items() if n.startswith("lora_")}
    assert state == wanted


@pytest.mark.parametrize("settings", [{}, {"gate": "position"}, {"faithful": True}])
def test_recomputing_blocks_draws_the_same_noise_and_counts_the_same(settings: dict) -> None:
    image = torch.randn(1, 3, 96, 64)
    encoder = attach(small_encoder(), "conv-lora", **settings).train()
    for block in encoder.blocks:
        nn.init.normal_(block.attn.qkv.lora_b, std=0.1)
    results = []
    for recompute in (False, True):
        encoder.recompute = recompute
        encoder.zero_grad()
        torch.manual_seed(7)
        out = encoder(image)
        auxiliary = auxiliary_loss(encoder)
        used = expert_usage(encoder)
        (out.square().mean() + auxiliary).backward()
        assert torch.equal(expert_usage(encoder), used)
        own = [p.grad for p in encoder.parameters() if p.requires_grad]
        results.append([out, auxiliary, used, *own])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("gate", "decisions"), [("image", 2), ("position", 32), ("window", 2)])
def test_usage_counts_decisions_by_layer_and_expert(gate: str, decisions: int) -> None:
    encoder = attach(small_encoder(), "conv-lora", gate=gate, experts=5, top_k=2)
    assert expert_usage(encoder).shape == (0, 0)
    with torch.inference_mode():
        encoder(torch.randn(2, 3, 64, 64))
    usage = expert_usage(encoder)
    assert usage.shape == (2, 5)
    assert usage.sum(1).tolist() == [2 * decisions] * 2


def test_methods_without_a_gate_use_no_experts() -> None:
    encoder = attach(small_encoder(), "conv-lora", mixing="average")
    encoder(torch.randn(1, 3, 32, 32))
    assert expert_usage(encoder).shape == (0, 0)


def test_task_reaches_the_gate_by_default_and_not_in_the_official_layer() -> None:
    for faithful in (False, True):
        made = layer(faithful=faithful).train()
        made(torch.randn(3, 6, 6, 12)).square().mean().backward()
        gradient = made.lora_gate.weight.grad
        learns = gradient is not None and bool(gradient.abs().sum() > 0)
        assert learns is not faithful


def test_balancing_loss_trains_the_gate() -> None:
    made = layer(faithful=False).train()
    made(torch.randn(3, 6, 6, 12))
    assert made.auxiliary is not None
    made.auxiliary.backward()
    assert made.lora_gate.weight.grad is not None
    assert made.lora_gate.weight.grad.abs().sum() > 0


def test_default_experts_see_across_window_borders() -> None:
    encoder = attach(small_encoder(), "conv-lora")
    first = encoder.blocks[0].attn.qkv
    seen: list[torch.Size] = []
    first.lora_gate.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    with torch.inference_mode():
        encoder(torch.randn(2, 3, 160, 160))
    assert seen == [torch.Size([2, 3])]


def test_faithful_gate_decides_in_each_window() -> None:
    encoder = attach(small_encoder(), "conv-lora", faithful=True)
    first = encoder.blocks[0].attn.qkv
    seen: list[torch.Size] = []
    first.lora_gate.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    with torch.inference_mode():
        encoder(torch.randn(2, 3, 160, 160))
    assert seen == [torch.Size([8, 3])]


def test_auxiliary_losses_of_all_layers_are_summed() -> None:
    encoder = attach(small_encoder(), "conv-lora").train()
    encoder(torch.randn(1, 3, 64, 64))
    total = sum(block.attn.qkv.auxiliary for block in encoder.blocks)
    torch.testing.assert_close(auxiliary_loss(encoder), total)


def test_merging_is_refused() -> None:
    encoder = attach(small_encoder(), "conv-lora")
    with pytest.raises(ConfigError, match="cannot be merged"):
        method_of(encoder).merge(encoder)
