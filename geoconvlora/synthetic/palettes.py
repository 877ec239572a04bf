"""Colours of real scenes, as classes of superpixels (``palettes.json`` names sources and licences).

Each band is scaled by percentiles of its scene, so these colours have contrast and neighbourhood
of reality but no physical unit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from geoconvlora.synthetic.spectra import CoverColours, assemble
from geoconvlora.synthetic.style import Cover


@dataclass(frozen=True)
class Palette:
    """Colours of one real scene, most common first."""

    name: str
    bands: tuple[str, ...]
    colours: NDArray[np.float64]
    """(classes, bands); 0 and 1 are the scene's 2nd and 98th percentiles."""
    share: NDArray[np.float64]
    """(classes,) of the scene's area."""


@lru_cache(maxsize=1)
def palettes() -> tuple[Palette, ...]:
    """All palettes that come with the package."""
    text = resources.files(__package__).joinpath("palettes.json").read_text(encoding="utf-8")
    return tuple(
        Palette(
            name=entry["name"],
            bands=tuple(entry["bands"]),
            colours=np.array(entry["colours"]),
            share=np.array(entry["share"]),
        )
        for entry in json.loads(text)["palettes"]
    )


def recorded_colours(rng: np.random.Generator) -> tuple[CoverColours, tuple[str, ...]]:
    """A landscape in the colours of a real scene, and the names of its bands.

    Nobody knows which class was a crop: fields take any, woods and water dark ones, roofs and
    roads bright ones, so that colour alone never tells a field.
    """
    palette = palettes()[int(rng.integers(len(palettes())))]
    # Brightness differences of textures are relative: keep the darkest colours off zero.
    colours = np.maximum(palette.colours, 0.0) + rng.uniform(0.05, 0.3)
    colours = colours * np.exp(rng.normal(0, 0.06, colours.shape))
    chance = np.sqrt(palette.share)
    chance /= chance.sum()
    count = min(int(rng.integers(3, 15)), len(colours))
    crops = colours[rng.choice(len(colours), count, replace=False, p=chance)]
    ranked = colours[np.argsort(colours[:, :3].mean(axis=1))]
    third = len(ranked) // 3

    def some(table: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        return table[rng.integers(0, len(table), number)]

    green = ranked[: 2 * third][np.argsort(_greenness(ranked[: 2 * third]))[-third:]]
    tables = {
        Cover.FIELD: crops,
        Cover.VERGE: some(green, 4),
        Cover.WOOD: some(ranked[:third], 3),
        Cover.SCRUB: some(colours, 4),
        Cover.GARDEN: 0.5 * some(colours, 6) + 0.5 * some(ranked[third:], 6),
        Cover.WATER: some(ranked[: max(third // 2, 1)], 2) * 0.9,
        Cover.ROAD: some(ranked[third:], 4),
        Cover.HEDGE: some(ranked[:third], 3),
        Cover.DITCH: some(ranked[: 2 * third], 3),
        Cover.BARE: some(ranked[2 * third :], 4),
        Cover.ROOF: some(ranked[third:], 5) * 1.15,
        Cover.STREET: some(ranked[third:], 3),
        Cover.BANK: green[:1],
    }
    return assemble(rng, tables), palette.bands


def _greenness(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """High for plants: infrared, or green where there is none, against red."""
    lively = colours[:, 3] if colours.shape[1] > 3 else colours[:, 1]
    return np.asarray(lively - colours[:, 0])
