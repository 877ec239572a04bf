"""BitFit: train the biases that are there (Ben Zaken et al. 2022)."""

from __future__ import annotations

from typing import ClassVar

from geoconvlora.adapters.base import Method
from geoconvlora.sam.adaptable import AdaptableEncoder


class BitFit(Method):
    """Train every bias of the encoder: attention, MLPs, norms, patch embedding, neck norms."""

    name: ClassVar[str] = "bitfit"

    def trains(self, name: str) -> bool:
        """Biases; the relative-position tables are none."""
        return name.endswith(".bias")

    def merge(self, encoder: AdaptableEncoder) -> None:
        """Nothing was added: the encoder is plain already."""
