"""Conv-LoRA against a slow, literal version of the official layer."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters import attach, auxiliary_loss, method_of
from geoconvlora.adapters.conv_lora import ConvLoRA, ConvLoRALinear
from geoconvlora.errors import ConfigError
from geoconvlora.sam import load_encoder


def layer(faithful: bool, **settings: int) -> ConvLoRALinear:
    torch.manual_seed(3)
    made = ConvLoRALinear(nn.Linear(12, 36), ConvLoRA(faithful=faithful, **settings)).eval()
    nn.init.normal_(made.lora_b)
    return made


def literal(made: ConvLoRALinear, x: Tensor, route: list[int]) -> Tensor:
    """One map at a time, written from the formula; expert ``route[i]`` serves map i."""
    outputs = []
    for one, expert in zip(x, route, strict=True):
        z = (one @ made.lora_a.T).permute(2, 0, 1)[None]
        k = expert + 1
        conv = made.lora_experts[expert]
        u = F.interpolate(z, scale_factor=k, mode="bicubic") if k > 1 else z
        v = F.gelu(F.conv2d(u, conv.weight, conv.bias, padding=1))
        m = F.interpolate(v, size=z.shape[-2:], mode="bicubic") if k > 1 else v
        mixed = (z + m)[0].permute(1, 2, 0)
        y0 = one @ made.weight.T + made.bias
        outputs.append(y0 + (32 / made.lora_a.shape[0]) * mixed @ made.lora_b.T)
    return torch.stack(outputs)


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
    torch.testing.assert_close(made(x), literal(made, x, [expert] * 2), rtol=1e-5, atol=1e-4)


def test_gradients_equal_the_literal_layers() -> None:
    x = torch.randn(2, 9, 11, 12)
    gradients = []
    for slow in (False, True):
        made = layer(faithful=True)
        route_to(made, 4)
        (literal(made, x, [4, 4]) if slow else made(x)).square().mean().backward()
        gradients.append({n: p.grad for n, p in made.named_parameters() if p.grad is not None})
    assert {"lora_a", "lora_b", "lora_experts.4.weight"} <= gradients[0].keys()
    for name, wanted in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], wanted, rtol=1e-4, atol=1e-5)


def test_maps_of_a_batch_go_to_the_experts_that_their_own_features_choose() -> None:
    made = layer(faithful=True)
    with torch.no_grad():
        made.lora_gate.weight.normal_()
    x = torch.randn(6, 8, 8, 12) + torch.randn(6, 1, 1, 12)
    pooled = (x @ made.lora_a.T).mean(dim=(1, 2))
    route = (pooled @ made.lora_gate.weight).argmax(1).tolist()
    assert len(set(route)) > 1
    torch.testing.assert_close(made(x), literal(made, x, route), rtol=1e-5, atol=1e-4)


def test_faithful_balancing_loss_of_a_fresh_gate() -> None:
    made = layer(faithful=True)
    made(torch.randn(25, 4, 4, 12))
    assert made.auxiliary is not None
    assert made.auxiliary.item() == pytest.approx(0.16, abs=1e-6)
    made.train()
    values = []
    for _ in range(300):
        made(torch.randn(1, 4, 4, 12))
        values.append(made.auxiliary.item())
    assert min(values) >= 0.08 - 1e-5


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


def test_every_parameter_has_a_gradient_in_training() -> None:
    made = layer(faithful=False).train()
    (made(torch.randn(1, 6, 6, 12)).mean() + made.auxiliary).backward()
    own = {n: p for n, p in made.named_parameters() if n.startswith("lora_")}
    assert all(p.grad is not None for p in own.values())


def test_default_experts_see_across_window_borders() -> None:
    encoder = attach(load_encoder("vit_t"), "conv-lora")
    first = encoder.blocks[0].attn.qkv
    seen: list[torch.Size] = []
    first.lora_gate.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    with torch.inference_mode():
        encoder(torch.randn(2, 3, 160, 160))
    assert seen == [torch.Size([2, 3])]


def test_faithful_gate_decides_in_each_window() -> None:
    encoder = attach(load_encoder("vit_t"), "conv-lora", faithful=True)
    first = encoder.blocks[0].attn.qkv
    seen: list[torch.Size] = []
    first.lora_gate.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    with torch.inference_mode():
        encoder(torch.randn(2, 3, 160, 160))
    assert seen == [torch.Size([8, 3])]


def test_auxiliary_losses_of_all_layers_are_summed() -> None:
    encoder = attach(load_encoder("vit_t"), "conv-lora").train()
    encoder(torch.randn(1, 3, 64, 64))
    total = sum(block.attn.qkv.auxiliary for block in encoder.blocks)
    torch.testing.assert_close(auxiliary_loss(encoder), total)


def test_merging_is_refused() -> None:
    encoder = attach(load_encoder("vit_t"), "conv-lora")
    with pytest.raises(ConfigError, match="cannot be merged"):
        method_of(encoder).merge(encoder)
