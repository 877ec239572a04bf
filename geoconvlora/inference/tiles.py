"""Where tiles lie."""

from __future__ import annotations

from dataclasses import dataclass

from geoconvlora.errors import ConfigError
from geoconvlora.weights.card import PATCH, ModelCard

#: Memory grows with a tile's area; a larger one shows the network no more than it can use.
MAX_TILE = 4096


@dataclass(frozen=True)
class TileAxis:
    """Tiles along one axis: anchored at 0, the last one moved back so that it ends at the edge.

    It belongs to the scene: what part of it is asked for makes no difference. A scene shorter than
    a tile has one tile, which reaches beyond it.
    """

    size: int
    tile: int
    step: int

    def __len__(self) -> int:
        return 1 + -(-max(0, self.size - self.tile) // self.step)

    def start(self, index: int) -> int:
        """Return the first pixel of a tile."""
        return min(index * self.step, max(0, self.size - self.tile))

    def touching(self, first: int, stop: int) -> range:
        """Return the tiles that hold a pixel from ``first`` up to ``stop``."""
        indices = range(len(self))
        low = next(i for i in indices if self.start(i) + self.tile > first)
        high = next((i for i in indices if self.start(i) >= stop), len(self))
        return range(low, high)


@dataclass(frozen=True)
class Tiling:
    """Square tiles over a grid."""

    rows: TileAxis
    columns: TileAxis
    tile: int
    overlap: int

    @classmethod
    def over(
        cls, height: int, width: int, *, tile: int, overlap: int, multiple: int = PATCH
    ) -> Tiling:
        """Return the tile grid of a raster, with tiles whose side is a multiple of ``multiple``.

        Raises:
            ConfigError: The tile size or the overlap cannot work.
        """
        if tile < multiple or tile % multiple:
            raise ConfigError(
                f"tile size {tile} is not a multiple of {multiple}: give one, e.g. "
                f"{multiple * max(1, round(256 / multiple))}"
            )
        if tile > MAX_TILE:
            raise ConfigError(
                f"tile size {tile} is more than {MAX_TILE}, and memory grows with its square: "
                "give a smaller one, e.g. 256"
            )
        if not 0 <= overlap < tile:
            raise ConfigError(f"overlap {overlap} is not between 0 and the tile size {tile}")
        step = tile - overlap
        return cls(TileAxis(height, tile, step), TileAxis(width, tile, step), tile, overlap)

    @classmethod
    def for_model(
        cls, height: int, width: int, card: ModelCard, tile: int | None, overlap: int | None
    ) -> Tiling:
        """Return the tile grid with the model's own tile size and overlap where none is given."""
        if tile is None:
            tile = card.tile_size
            overlap = card.overlap if overlap is None else overlap
        if overlap is None:
            overlap = tile // 4
        return cls.over(height, width, tile=tile, overlap=overlap, multiple=card.multiple)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)
