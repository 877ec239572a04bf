"""The gate: choices, weights, balancing loss, usage."""

import pytest
import torch
from torch import nn

from geoconvlora.adapters.gate import NoisyGate


def gate(*, weighted: bool = True, top_k: int = 1, noise: bool = True) -> NoisyGate:
    torch.manual_seed(2)
    return NoisyGate(3, 8, top_k=top_k, balance=0.01, noise=noise, weighted=weighted)


def test_balancing_loss_of_the_official_fresh_gate_on_one_map_is_that_of_its_importance() -> None:
    made = gate(weighted=False).train()
    losses = torch.stack([made(torch.randn(1, 3))[2] for _ in range(500)])
    assert losses.min().item() >= 0.08 - 1e-6
    assert losses.median().item() == pytest.approx(0.08, abs=1e-3)


def test_balancing_loss_of_the_official_gate_in_evaluation_with_all_maps_to_one_expert() -> None:
    loss = gate(weighted=False).eval()(torch.randn(25, 3))[2]
    assert loss.item() == pytest.approx(0.16, abs=1e-6)


def test_no_balancing_loss_in_evaluation_by_default() -> None:
    assert gate().eval()(torch.randn(25, 3))[2] == 0


def test_noise_is_drawn_in_training_only() -> None:
    made = gate().train()
    features = torch.zeros(200, 3)
    assert len(made(features)[0].unique()) == 8
    assert len(made.eval()(features)[0].unique()) == 1


def test_expected_load_is_the_mean_over_the_noise() -> None:
    made = gate(top_k=2).train()
    nn.init.normal_(made.weight)
    features = torch.randn(1, 3).expand(20_000, 3)
    clean = features @ made.weight
    spread = torch.full_like(clean, 0.7)
    scores = clean + spread * torch.randn_like(clean)
    load = made._expected_load(clean, spread, scores) / len(clean)
    chosen = scores.topk(2).indices
    often = torch.bincount(chosen.flatten(), minlength=8) / len(clean)
    torch.testing.assert_close(load, often, rtol=0, atol=0.02)


def test_a_gate_without_noise_has_no_parameters_for_it_and_draws_none() -> None:
    made = gate(noise=False).train()
    nn.init.normal_(made.weight)
    assert set(made.state_dict()) == {"weight"}
    features = torch.randn(50, 3)
    chosen, weights, loss = made(features)
    assert torch.equal(chosen[:, 0], (features @ made.weight).argmax(1))
    torch.testing.assert_close(weights[:, 0], (features @ made.weight).softmax(1).amax(1))
    loss.backward()
    assert made.weight.grad.any()


def test_usage_counts_the_last_passes_choices() -> None:
    made = gate(top_k=2).train()
    assert made.usage is None
    made(torch.randn(5, 3))
    chosen, _, _ = made(torch.randn(40, 3))
    assert made.usage.tolist() == torch.bincount(chosen.flatten(), minlength=8).tolist()
    assert made.usage.sum() == 80
    assert not made.usage.requires_grad


def test_scores_are_of_full_precision_under_autocast() -> None:
    made = gate().eval()
    nn.init.normal_(made.weight)
    features = torch.randn(30, 3)
    wanted = made(features)[1]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(features)[1], wanted)
