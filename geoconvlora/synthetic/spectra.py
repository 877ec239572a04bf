"""Colours of one landscape: from a model of soil and plants, or from real scenes.

The model follows the linear mixing of bare soil, green and dry plants (reflectances of common
spectral libraries, rounded). Real colours are the classes of ``palettes.json``, whose bands have no
common physical scale: they train eyes, not radiometry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.synthetic.style import Cover

BANDS = ("red", "green", "blue", "nir")

# red, green, blue, near infrared
_SOIL = np.array([1.0, 0.76, 0.55, 1.30])
_GREEN = np.array([0.045, 0.080, 0.032, 0.42])
_DRY = np.array([0.22, 0.165, 0.100, 0.31])
_BLOSSOM = np.array([0.17, 0.18, 0.050, 0.45])
_WET = np.array([0.050, 0.065, 0.055, 0.060])
_COVERED = np.array([0.45, 0.46, 0.46, 0.50])


@dataclass(frozen=True)
class CoverColours:
    """Spectra that a landscape's pieces are drawn from.

    Attributes:
        crops: (crops, bands) what grows on fields at the time of the image.
        crop_share: (crops,) how common each is; sums to 1.
        others: For each :class:`Cover` a table (variants, bands); fields' is ``crops``.
        jitter: Relative difference between two pieces of the same crop.
        local: Chance that a field has the crop that is common in its block.
        drift: (bands,) direction in which soil and moisture change colours.
    """

    crops: NDArray[np.float64]
    crop_share: NDArray[np.float64]
    others: tuple[NDArray[np.float64], ...]
    jitter: float
    local: float
    drift: NDArray[np.float64]

    def draw(
        self, rng: np.random.Generator, kind: NDArray[np.int64], group: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Mean spectrum of every piece, (bands, pieces)."""
        pieces = len(kind)
        crop = rng.choice(len(self.crops), pieces, p=self.crop_share)
        common = rng.choice(len(self.crops), int(group.max()) + 1, p=self.crop_share)
        crop = np.where(rng.random(pieces) < self.local, common[group], crop)
        mean = self.crops[crop]
        variant = rng.random(pieces)
        for cover in Cover:
            if cover is Cover.FIELD:
                continue
            here = np.flatnonzero(kind == cover)
            table = self.others[cover]
            mean[here] = table[(variant[here] * len(table)).astype(np.int64)]
        bands = mean.shape[1]
        spread = np.where(kind == Cover.FIELD, self.jitter, 0.12)[:, None]
        mean = mean * np.exp(
            spread * (0.8 * rng.normal(size=(pieces, 1)) + 0.6 * rng.normal(size=(pieces, bands)))
        )
        return np.ascontiguousarray(mean.T, dtype=np.float32)

    def select(self, mix: NDArray[np.float64]) -> CoverColours:
        """The same landscape seen by other bands; ``mix`` is (new bands, bands)."""
        return CoverColours(
            crops=self.crops @ mix.T,
            crop_share=self.crop_share,
            others=tuple(table @ mix.T for table in self.others),
            jitter=self.jitter,
            local=self.local,
            drift=mix @ self.drift,
        )


def modelled_colours(rng: np.random.Generator) -> CoverColours:
    """Red, green, blue and near infrared reflectance from the mixing model."""
    soil = _SOIL * rng.uniform(0.09, 0.34) * np.exp(rng.normal(0, 0.12, 4))

    def plants(cover: float, dryness: float) -> NDArray[np.float64]:
        leaves = (1 - dryness) * _GREEN + dryness * _DRY
        leaves = leaves * np.exp(rng.normal(0, 0.16, 4))
        ground = soil * math.exp(rng.normal(0, 0.15))
        return np.asarray(cover * leaves + (1 - cover) * ground)

    count = int(rng.integers(2, 13))
    season = rng.uniform(0.25, 1.2), rng.uniform(0.25, 1.2), rng.uniform(0.2, 1.2)
    crops = np.array(
        [plants(rng.beta(season[0], season[1]), rng.beta(season[2], 1.0)) for _ in range(count)]
    )
    for special, chance in ((_BLOSSOM, 0.08), (_WET, 0.06), (_COVERED, 0.05)):
        if rng.random() < chance:
            crops[int(rng.integers(count))] = special * math.exp(rng.normal(0, 0.15))
    dry = rng.beta(0.7, 1.6)

    def variants(number: int, cover: tuple[float, float], dryness: float) -> NDArray[np.float64]:
        return np.array([plants(rng.uniform(*cover), dryness) for _ in range(number)])

    needles = np.array([0.028, 0.042, 0.024, rng.uniform(0.16, 0.30)])
    leaves = np.array([0.032, 0.055, 0.026, rng.uniform(0.25, 0.48)])
    turbid = rng.uniform(0, 0.5) * soil
    water = np.array([0.022, 0.034, 0.036, 0.014])
    grey = np.ones(4)
    stands = np.array([needles, leaves, leaves * 0.85, (needles + leaves) / 2])
    verge = variants(4, (0.55, 1.0), dry)
    tables: dict[Cover, NDArray[np.float64]] = {
        Cover.FIELD: crops,
        Cover.VERGE: verge,
        Cover.WOOD: stands,
        Cover.SCRUB: np.vstack([variants(3, (0.35, 0.95), rng.beta(1.2, 1.2)), stands[1:2] * 1.2]),
        Cover.GARDEN: 0.55 * variants(6, (0.4, 1.0), dry * 0.6) + 0.45 * grey * 0.13,
        Cover.WATER: np.array([water, water + 0.15 * turbid, water + 0.5 * turbid]),
        Cover.ROAD: np.array([grey * 0.11, grey * 0.16, soil * 1.1, soil * 0.5 + 0.08]),
        Cover.HEDGE: np.vstack([stands, verge[:1] * 0.85]),
        Cover.DITCH: np.vstack([0.5 * verge[:2] + 0.5 * water, verge[2:3] * 0.8]),
        Cover.BARE: np.array([soil * 1.7, soil * 1.2, soil * 1.4 + 0.05, grey * 0.25]),
        Cover.ROOF: np.array(
            [
                grey * 0.12,
                grey * 0.25,
                grey * 0.55,
                [0.26, 0.17, 0.13, 0.30],
                [0.2, 0.15, 0.12, 0.25],
            ]
        ),
        Cover.STREET: np.array([grey * 0.12, grey * 0.18, grey * 0.3]),
        Cover.BANK: 0.5 * (stands[1:2] + verge[:1]),
    }
    return assemble(rng, tables)


def assemble(rng: np.random.Generator, tables: dict[Cover, NDArray[np.float64]]) -> CoverColours:
    """Colours of a landscape from one table (variants, bands) a cover, with random habits."""
    crops = tables[Cover.FIELD]
    first, second = rng.integers(0, len(crops), 2)
    drift = crops[first] - crops[second]
    if first == second:
        drift = 0.3 * crops[first]
    return CoverColours(
        crops=crops,
        crop_share=rng.dirichlet(np.full(len(crops), rng.uniform(0.6, 4.0))),
        others=tuple(tables[cover] for cover in Cover),
        jitter=math.exp(rng.uniform(math.log(0.015), math.log(0.16))),
        local=rng.beta(0.6, 1.6),
        drift=drift,
    )
