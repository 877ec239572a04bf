"""Experts, folded and routed by indexing, against each one's literal pipeline."""

import pytest
import torch
from literal_conv_lora import literal_expert
from torch import Tensor

from geoconvlora.adapters import experts as module
from geoconvlora.adapters.experts import Experts, ScaleExpert

SCALES = tuple(range(1, 9))


def made(scales: tuple[int, ...] = SCALES, rank: int = 3) -> Experts:
    torch.manual_seed(5)
    some = Experts(rank, scales)
    for expert in some:
        torch.nn.init.normal_(expert.bias)
    return some


def literal(some: Experts, low: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum; weights (N, M, H or 1, W or 1)."""
    outputs = [literal_expert(low, expert, expert.scale) for expert in some]
    return sum(out * weights[:, i, None] for i, out in enumerate(outputs))


def gradients(out: Tensor, low: Tensor, some: Experts) -> list[Tensor]:
    seed = torch.linspace(-1, 1, out.numel()).view_as(out)
    return list(torch.autograd.grad(out, [low, *some.parameters()], seed, allow_unused=True))


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (14, 14), (10, 17)])
@pytest.mark.parametrize("scale", SCALES)
def test_chosen_expert_and_its_gradients_equal_the_literal_ones(
    scale: int, rows: int, columns: int
) -> None:
    some = made()
    low = torch.randn(2, 3, rows, columns, requires_grad=True)
    chosen = torch.full((2, 1), scale - 1)
    found = some.chosen(low, chosen, torch.ones(2, 1))
    wanted = literal_expert(low, some[scale - 1], scale)
    torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)
    ours, theirs = gradients(found, low, some), gradients(wanted, low, some)
    for one, other in zip(ours, theirs, strict=True):
        # An expert that was not chosen has a gradient, of zero.
        other = torch.zeros_like(one) if other is None else other
        size = float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5 * max(1.0, size))
    unchosen = [g for i, g in enumerate(ours[1:]) if i // 2 != scale - 1]
    assert len(unchosen) == 14
    assert not any(g.any() for g in unchosen)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (3, 2)])
def test_tiny_maps(scale: int, rows: int, columns: int) -> None:
    some = made((scale,))
    low = torch.randn(1, 3, rows, columns)
    wanted = literal_expert(low, some[0], scale)
    found = some(low, torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("scales", [SCALES, (4,), (8, 8, 3), (16, 1, 11)])
def test_all_experts_weighted_by_position_equal_the_literal_sum(
    scales: tuple[int, ...], rank: int
) -> None:
    some = made(scales, rank)
    low = torch.randn(2, rank, 9, 7)
    weights = torch.rand(2, len(scales), 9, 7)
    wanted = literal(some, low, weights)
    torch.testing.assert_close(some(low, weights), wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_several_experts_a_map_equal_the_literal_sum(count: int) -> None:
    some = made()
    low = torch.randn(5, 3, 8, 11)
    chosen = torch.rand(5, 8).topk(count).indices
    shares = torch.rand(5, count)
    weights = torch.zeros(5, 8).scatter(1, chosen, shares)[..., None, None]
    wanted = literal(some, low, weights)
    torch.testing.assert_close(some.chosen(low, chosen, shares), wanted, rtol=2e-5, atol=2e-5)


def test_an_experts_own_pass_is_literal_too() -> None:
    low = torch.randn(1, 3, 6, 5)
    for scale in SCALES:
        expert = ScaleExpert(3, scale)
        wanted = literal_expert(low, expert, scale)
        torch.testing.assert_close(expert(low), wanted, rtol=2e-5, atol=2e-5)


def test_kernels_are_folded_once_in_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    folded = []
    fold = module._fold
    monkeypatch.setattr(module, "_fold", lambda *a: folded.append(1) or fold(*a))
    some = made().eval()
    low, chosen = torch.randn(1, 3, 6, 6), torch.tensor([[4]])
    with torch.no_grad():
        for _ in range(3):
            some.chosen(low, chosen, torch.ones(1, 1))
    assert len(folded) == 2
    some.chosen(low, chosen, torch.ones(1, 1)).sum().backward()
    assert some[4].weight.grad is not None
    assert len(folded) == 4


@pytest.mark.parametrize("change", ["in place", "load", "assign", "train", "double"])
def test_kept_kernels_follow_the_parameters(change: str) -> None:
    some, other = made().eval(), Experts(3, SCALES)
    low, weights = torch.randn(1, 3, 6, 6), torch.ones(1, 8, 1, 1)
    with torch.no_grad():
        some(low, weights)
        if change == "in place":
            for parameter in some.parameters():
                parameter.mul_(1.5)
        elif change in ("load", "assign"):
            some.load_state_dict(other.state_dict(), assign=change == "assign")
        elif change == "train":
            # Writing to ``data`` leaves no trace, so training must forget.
            some.train()
            for parameter in some.parameters():
                parameter.data.mul_(1.5)
            some.eval()
        else:
            some.double()
            low, weights = low.double(), weights.double()
        found = some(low, weights)
        assert found.dtype == low.dtype
        rounding = 1e-12 if change == "double" else 2e-5
        torch.testing.assert_close(found, literal(some, low, weights), rtol=rounding, atol=rounding)


def test_inference_before_training_leaves_nothing_untrackable() -> None:
    for cached in (module.enlargement, module.reduction, module.folding, module._members):
        cached.cache_clear()
    some = made().eval()
    low = torch.randn(1, 3, 6, 6)
    with torch.inference_mode():
        some(low, torch.ones(1, 8, 1, 1))
    some.train()(low, torch.ones(1, 8, 1, 1)).sum().backward()
    assert all(p.grad is not None for p in some.parameters())


def test_parameters_keep_their_names_and_shapes() -> None:
    shapes = {name: tuple(t.shape) for name, t in made((2, 6)).state_dict().items()}
    one = {"weight": (3, 3, 3, 3), "bias": (3,)}
    assert shapes == {f"{i}.{name}": shape for i in (0, 1) for name, shape in one.items()}
