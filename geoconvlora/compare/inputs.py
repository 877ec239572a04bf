"""What a comparison reads: which tiles are for what, and which base weights."""

from __future__ import annotations

from geoconvlora.weights.card import Frozen


class TileSplit(Frozen):
    """Stems of the image tiles of each part."""

    train: tuple[str, ...]
    """In the order in which fractions take them."""
    val: tuple[str, ...]
    test: tuple[str, ...]

    def training(self, fraction: float) -> tuple[str, ...]:
        """The first tiles: those of a smaller fraction are among those of a larger one."""
        return self.train[: max(1, round(fraction * len(self.train)))]


class Inputs(Frozen):
    """If these changed between two parts of a comparison, its runs could not be compared."""

    base_sha256: str
    split: TileSplit
