"""What is to be mapped, and how: all that decides a scene's probabilities but the network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from geoconvlora.errors import ConfigError
from geoconvlora.inference.blending import Blend
from geoconvlora.inference.tiles import Tiling
from geoconvlora.scenes import Normaliser, PredictionGrid, Scene, Window
from geoconvlora.scenes.area import Area
from geoconvlora.weights.card import ModelCard, Views

Augmentation = Literal["auto"] | Views
"""Views of a tile that are averaged; ``auto``: those that the model's card names."""

Precision = Literal["auto", "32", "bf16"]
"""What networks compute in: float32, bfloat16, or ``auto``, bfloat16 where hardware has units."""


@dataclass(frozen=True)
class Scales:
    """At which sizes a network sees each tile.

    Attributes:
        reductions: How many times the tile is reduced; the first is 1.
        objects: Class ids of objects' interior and boundary; None for a map of classes.
    """

    reductions: tuple[int, ...] = (1,)
    objects: tuple[int, int] | None = None

    @classmethod
    def of(cls, card: ModelCard) -> Scales:
        """Return those of a model."""
        rule = card.instances
        return cls(card.reductions, None if rule is None else (rule.interior, rule.boundary))


def precision_of(card: ModelCard, asked: Precision | Literal[32]) -> Precision:
    """Return what a model's network shall compute in: ``auto`` leaves it to the card.

    Raises:
        ConfigError: There is no such precision.

    Example:
        >>> from geoconvlora.weights import read_card
        >>> precision_of(read_card("fields"), "32")
        '32'
    """
    named = "32" if asked == 32 else asked
    if named not in get_args(Precision):
        raise ConfigError(f"precision {asked!r} is unknown: give 'auto', '32' or 'bf16'")
    return "32" if named == "auto" and card.precision == "32" else named


def views_of(card: ModelCard, asked: Augmentation) -> Views:
    """Return the views of a tile that a model's map is the mean of: ``auto`` leaves it to the card.

    Raises:
        ConfigError: There are no such views.

    Example:
        >>> from geoconvlora.weights import read_card
        >>> views_of(read_card("fields"), "auto")
        'none'
    """
    if asked == "auto":
        return card.views
    if asked not in get_args(Views):
        raise ConfigError(f"tta {asked!r} is unknown: give auto, {', '.join(get_args(Views))}")
    return asked


@dataclass(frozen=True)
class MapTask:
    """One scene's map. It may be pickled and given to another process.

    Attributes:
        scene: Opened with the model's bands.
        grid: Where the map is made.
        tiling: The tile grid over all of it, whatever part is asked for.
        normaliser: From stored values to the network's.
        classes: K.
        scales: Sizes at which the network sees each view of a tile.
        batch_size: Tiles that the network sees at once. A batch is always from one group of as
            many neighbouring tiles of a row, and holds those of them that have a valid pixel: what
            the network sees together depends on the scene alone.
        blend: How tiles are joined.
        tta: Views of a tile that are averaged.
        precision: What the network computes in.
        spread: Whether to tell how far predictions of a pixel differ.
        area: The part that is asked for; None: all.
    """

    scene: Scene
    grid: PredictionGrid
    tiling: Tiling
    normaliser: Normaliser
    classes: int
    scales: Scales
    batch_size: int = 4
    blend: Blend = "cosine"
    tta: Views = "none"
    precision: Precision = "32"
    spread: bool = False
    area: Area | None = None

    @cached_property
    def window(self) -> Window:
        """The part of the grid that the map covers."""
        whole = Window(0, 0, self.grid.height, self.grid.width)
        return whole if self.area is None else self.area.window

    @cached_property
    def map_grid(self) -> PredictionGrid:
        """The grid of the map."""
        return self.grid.part(self.window)

    @cached_property
    def scene_window(self) -> Window:
        """The scene's pixels that the map covers."""
        zoom_in, zoom_out = self.grid.zoom_in, self.grid.zoom_out
        window = self.window
        return Window(
            window.row * zoom_out // zoom_in,
            window.column * zoom_out // zoom_in,
            window.height * zoom_out // zoom_in,
            window.width * zoom_out // zoom_in,
        ).clipped(self.scene.height, self.scene.width)

    @cached_property
    def tile_rows(self) -> range:
        """Rows of tiles that the map needs."""
        return self.tiling.rows.touching(self.window.row, self.window.row + self.window.height)

    @cached_property
    def groups(self) -> tuple[range, ...]:
        """Columns of tiles in groups of ``batch_size``, those that the map needs."""
        axis = self.tiling.columns
        needed = axis.touching(self.window.column, self.window.column + self.window.width)
        size = self.batch_size
        return tuple(
            range(first, min(first + size, len(axis)))
            for first in range(needed.start // size * size, needed.stop, size)
        )
