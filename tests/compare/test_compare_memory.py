import torch
from torch import nn

from geoconvlora.compare.memory import TensorMemory, tensor_bytes


def test_peak_is_what_was_alive_at_once() -> None:
    with TensorMemory() as memory:
        for _ in range(3):
            kept = torch.zeros(1000)
    assert (memory.now, memory.peak) == (4000, 8000)
    del kept
    assert memory.now == 0


def test_views_and_results_in_place_take_nothing() -> None:
    old = torch.ones(100)
    with TensorMemory() as memory:
        old.add_(1).mul_(2)
        old.view(10, 10).t()[2:]
    assert memory.peak == 0


def test_what_autograd_keeps_counts_until_it_is_freed() -> None:
    layer = nn.Linear(100, 100, bias=False)
    one = 4 * 100 * 100
    with TensorMemory() as memory:
        loss = layer(layer(torch.ones(100, 100))).sum()
        assert memory.now >= 2 * one
        loss.backward()
        del loss
    # All that remains is the gradient of the weight.
    assert memory.now == one
    assert memory.peak >= 3 * one


def test_shared_storage_counts_once() -> None:
    values = torch.zeros(100)
    assert tensor_bytes([values, values[:50], "text", torch.zeros(1)]) == 404
