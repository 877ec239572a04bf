"""Products of a few rows, whose results do not hang on the number of threads.

Libraries for matrices choose their way through a small product by how many threads there are, and
so its rounding. Workers that share threads among them would give other bytes than one process.
"""

from __future__ import annotations

from torch import Tensor, nn

_FEW = 256


class SteadyLinear(nn.Linear):
    """A linear layer that takes a few rows, a decoder's tokens, in double precision on the CPU.

    Rounded to single precision at the end, the result is practically always the same whatever the
    order of the sums was. In training mode it is a plain layer.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """(..., n, in) to (..., n, out)."""
        if self.training or rows.device.type != "cpu" or rows.shape[:-1].numel() > _FEW:
            return super().forward(rows)
        bias = None if self.bias is None else self.bias.double()
        product = nn.functional.linear(rows.double(), self.weight.double(), bias)
        return product.to(self.weight.dtype)


def steady(module: nn.Module) -> None:
    """Make the plain linear layers in a module steady; they keep their names and weights."""
    for part in module.modules():
        if type(part) is nn.Linear:
            # SAM's own modules make their layers themselves.
            part.__class__ = SteadyLinear


def steady_product(rows: Tensor, matrix: Tensor) -> Tensor:
    """A few rows (..., n, k) times a matrix (k, m), likewise."""
    if rows.device.type != "cpu":
        return rows @ matrix
    return (rows.double() @ matrix.double()).to(matrix.dtype)
