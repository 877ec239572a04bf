"""VPT, deep: learned tokens beside the image's, in every block (Jia et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import nn

from geoconvlora.adapters.base import Method
from geoconvlora.sam.adaptable import AdaptableBlock, AdaptableEncoder
from geoconvlora.sam.sizes import PATCH


class VPT(Method):
    """Prompt tokens that a block's attention sees beside the image's tokens.

    They join after the first norm, the same ones in every window, without relative position. As
    each block has its own and drops what becomes of them, only their keys and values matter; no
    query is computed. Extra keys change the softmax: not the frozen output at the start.

    Attributes:
        prompts: Tokens a block, p.
    """

    name: ClassVar[str] = "vpt"
    identity: ClassVar[bool] = False

    prompts: int = Field(default=10, ge=1)

    def inject(self, encoder: AdaptableEncoder) -> None:
        """Give each block's attention its prompts."""
        width = encoder.size.width
        bound = math.sqrt(6 / (3 * PATCH**2 + width))
        for block in cast("Iterable[AdaptableBlock]", encoder.blocks):
            start = torch.empty(self.prompts, width, device=block.norm1.weight.device)
            block.attn.prompts = nn.Parameter(start.uniform_(-bound, bound))

    def trains(self, name: str) -> bool:
        """The prompts."""
        return name.endswith(".attn.prompts")
