"""Layers that round the same whatever their sums' order."""

from __future__ import annotations

import torch
from torch import nn

from geoconvlora.sam.steady import SteadyLinear, steady, steady_product


def test_steady_layers_are_the_plain_ones_but_for_rounding() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 3, bias=False)).eval()
    rows = torch.randn(4, 6, 64)
    before = plain(rows)
    names = list(plain.state_dict())
    steady(plain)
    assert isinstance(plain[0], SteadyLinear)
    assert list(plain.state_dict()) == names
    torch.testing.assert_close(plain(rows), before)
    exact = plain[0](rows).double()
    error = (
        exact
        - nn.functional.linear(rows.double(), *map(torch.Tensor.double, plain[0].parameters()))
    ).abs()
    assert error.max() <= torch.finfo(torch.float32).eps * exact.abs().max()


def test_the_order_of_sums_does_not_matter() -> None:
    torch.manual_seed(0)
    rows, matrix = torch.randn(5, 200), torch.randn(200, 7)
    order = torch.randperm(200)
    assert not torch.equal(rows @ matrix, rows[:, order] @ matrix[order])
    torch.testing.assert_close(
        steady_product(rows, matrix), steady_product(rows[:, order], matrix[order]), rtol=0, atol=0
    )


def test_training_computes_as_ever() -> None:
    layer = SteadyLinear(8, 4)
    rows = torch.randn(3, 8)
    plain = nn.functional.linear(rows, layer.weight, layer.bias)
    torch.testing.assert_close(layer(rows), plain, rtol=0, atol=0)
