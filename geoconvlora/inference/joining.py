"""Several maps on one grid, as one stream of rows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence

import numpy as np

from geoconvlora.errors import ConfigError
from geoconvlora.inference.around_the_earth import turns_of
from geoconvlora.inference.map_source import MapSource
from geoconvlora.inference.merging import RULES, Merged, MergeName
from geoconvlora.inference.provenance import Provenance, distinct_names
from geoconvlora.inference.rows import MapRows
from geoconvlora.inference.target import Target
from geoconvlora.inference.warping import ResamplingName, WarpedMap
from geoconvlora.scenes import Window
from geoconvlora.scenes.area import Area

#: Rows and columns that are warped at once, at fixed places of the target's endless grid.
BLOCK = (256, 2048)


class JoinedMaps:
    """Several maps on one grid, as a stream of rows; closes their files on leaving.

    Attributes:
        names: Short names of the maps, in their order.
        provenance: Where each had a say, as far as rows have been read.
    """

    def __init__(
        self,
        sources: Sequence[MapSource],
        target: Target,
        *,
        merge: MergeName,
        resampling: ResamplingName,
        fade_px: float,
        names: Sequence[str] | None = None,
        area: Area | None = None,
    ) -> None:
        """Find out where the maps lie.

        Args:
            sources: Maps of the same classes.
            target: The grid of the rows.
            merge: The rule by which they are joined.
            resampling: Between their pixels.
            fade_px: Target pixels over which each fades.
            names: Of the maps; None: their files'.
            area: The part of the target that is asked for; None: all.
        """
        self._target, self._rule, self._area = target, RULES[merge], area
        self._classes = len(sources[0].classes)
        self.names = list(names or distinct_names([source.path for source in sources]))
        self._maps: list[WarpedMap] = []
        self._name_of: dict[int, str] = {}
        for source, name in zip(sources, self.names, strict=True):
            for turns in turns_of(source.geobox, target):
                turned = target if turns == 0 else target.turned(turns)
                one = WarpedMap(source, turned, resampling=resampling, fade_px=fade_px)
                self._maps.append(one)
                self._name_of[id(one)] = name
        self.provenance = Provenance(target.affine, BLOCK)

    def rows(self) -> Iterator[MapRows]:
        """Yield the target's rows in order; a map's file is open only while its rows are read.

        Raises:
            SceneError: A file cannot be read.
        """
        whole = self._target.window
        height = BLOCK[0]
        for top in _starts(whole.row, whole.height, height):
            band = Window(top, whole.column, height, whole.width)
            inside = _common(band, whole)
            touching = [one for one in self._maps if not _common(one.footprint, band).empty]
            rows = self._rows_of(inside, touching)
            for one in touching:
                if one.footprint.row + one.footprint.height <= top + height:
                    one.close()
            yield rows

    def _rows_of(self, band: Window, touching: Sequence[WarpedMap]) -> MapRows:
        probabilities = np.zeros((self._classes, band.height, band.width), np.float32)
        valid = np.zeros((band.height, band.width), np.bool_)
        height, width = BLOCK
        for left in _starts(band.column, band.width, width):
            block = Window(band.row // height * height, left, height, width)
            maps = [one for one in touching if not _common(one.footprint, block).empty]
            if not maps:
                continue
            merged = self._rule(maps, block, self._classes)
            self._note(block, merged)
            part = _common(block, band)
            here, there = part.slices_within(band), part.slices_within(block)
            probabilities[:, *here], valid[here] = (
                merged.probabilities[:, *there],
                merged.valid[there],
            )
        if self._area is not None:
            valid &= self._area.mask(band)
            probabilities *= valid
        return MapRows(band.row - self._target.window.row, probabilities, valid)

    def _note(self, block: Window, merged: Merged) -> None:
        for one, mask in merged.shares:
            self.provenance.note(block, self._name_of[id(one)], mask)

    def __enter__(self) -> JoinedMaps:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._maps:
            one.close()


def check_band_memory(target: Target, classes: int) -> None:
    """Refuse a target whose bands of rows do not fit into memory.

    Raises:
        ConfigError: They do not.
    """
    # Probabilities and validity, and as much again for what becomes of them.
    needed = 2 * BLOCK[0] * target.window.width * (4 * classes + 1)
    if needed > (there := _memory_bytes()):
        raise ConfigError(
            f"the target grid would be {target.window.width:,} pixels wide, and {BLOCK[0]} rows of "
            f"it take {needed / 1e9:.3g} GB of {there / 1e9:.3g} GB of memory: give a coarser "
            "--res, smaller --bounds, or a CRS in which the maps lie side by side (--dst-crs)"
        )


def _memory_bytes() -> float:
    """What the machine has, or the process may take; endless where the system does not tell."""
    try:
        import resource

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, AttributeError, ValueError, OSError):
        return math.inf
    return there if allowed == resource.RLIM_INFINITY else min(there, allowed)


def _starts(start: int, size: int, step: int) -> range:
    return range(start // step * step, start + size, step)


def _common(one: Window, other: Window) -> Window:
    """The part that two windows share, maybe empty."""
    top, left = max(one.row, other.row), max(one.column, other.column)
    bottom = min(one.row + one.height, other.row + other.height)
    right = min(one.column + one.width, other.column + other.width)
    return Window(top, left, max(0, bottom - top), max(0, right - left))
