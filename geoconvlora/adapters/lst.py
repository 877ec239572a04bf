"""LST: a small ladder network beside the frozen encoder (Sung et al. 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from geoconvlora.adapters.base import Method
from geoconvlora.sam.adaptable import AdaptableEncoder, SideNetwork
from geoconvlora.sam.encoder import EncoderBlock

TEMPERATURE = 0.1
"""Of the gates between ladder and encoder."""

HEAD_WIDTH = 16
"""Channels of an attention head of the ladder, at least."""


class LST(Method):
    """A side network d / k wide that reads every block's tokens; no gradient enters the encoder.

    Attributes:
        reduction: k.
    """

    name: ClassVar[str] = "lst"

    reduction: int = Field(default=16, ge=1)

    def inject(self, encoder: AdaptableEncoder) -> None:
        """Put the ladder beside the encoder."""
        encoder.side = Ladder(encoder, self.reduction)

    def trains(self, name: str) -> bool:
        """The ladder."""
        return name.startswith("side.")


class Ladder(SideNetwork):
    """``s_{i+1} = Block_i(mu_i s_i + (1 - mu_i) P_i h_i)``, with ``s_0 = P_0 h_0``.

    ``h_0`` are the embedded patches and ``h_i`` the tokens after block i; ``mu_i`` is a gate,
    ``sigmoid(a_i / 0.1)``, half open at the start. The last state is brought back to the encoder's
    width by a layer that starts at zero and added to the last tokens, before the neck. Its blocks
    cut windows where the encoder's do and know no relative positions.
    """

    def __init__(self, encoder: AdaptableEncoder, reduction: int) -> None:
        super().__init__()
        size = encoder.size
        width = max(1, size.width // reduction)
        heads = next(n for n in range(max(1, width // HEAD_WIDTH), 0, -1) if width % n == 0)
        small = replace(size, width=width, heads=heads)
        blocks = (EncoderBlock(small, i, relative=False) for i in range(size.depth))
        self.blocks = nn.ModuleList(blocks)
        self.down = nn.ModuleList(
            nn.Linear(size.width, width, bias=False) for _ in range(size.depth + 1)
        )
        self.gates = nn.Parameter(torch.zeros(size.depth))
        self.up = nn.Linear(width, size.width, bias=False)
        nn.init.zeros_(self.up.weight)

    def start(self, tokens: Tensor) -> Tensor:
        """First state, from the embedded patches (B, h, w, d)."""
        return self.down[0](tokens.detach())  # type: ignore[no-any-return]

    def step(self, block: int, state: Tensor, tokens: Tensor) -> Tensor:
        """Next state, from the tokens that the block has made."""
        kept = torch.sigmoid(self.gates[block] / TEMPERATURE)
        read = self.down[block + 1](tokens.detach())
        return self.blocks[block](kept * state + (1 - kept) * read)  # type: ignore[no-any-return]

    def finish(self, state: Tensor) -> Tensor:
        """What is added to the last tokens, (B, h, w, d)."""
        return self.up(state)  # type: ignore[no-any-return]
