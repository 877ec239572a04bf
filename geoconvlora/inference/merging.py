"""What several maps say of one window, made one: a rule for each way of asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geoconvlora.inference.warping import WarpedMap
from geoconvlora.scenes import Pixels, Window

MergeName = Literal["blend", "max", "first", "last"]
Mask = NDArray[np.bool_]


@dataclass
class Merged:
    """One window of the target.

    Attributes:
        probabilities: ``(K, h, w)``; 0 where invalid.
        valid: ``(h, w)``.
        shares: Maps that it is made of, with the pixels ``(h, w)`` that they had a say in.
    """

    probabilities: NDArray[np.float32]
    valid: Mask
    shares: list[tuple[WarpedMap, Mask]] = field(default_factory=list)

    @classmethod
    def nothing(cls, classes: int, window: Window) -> Merged:
        """Return a window without a valid pixel."""
        shape = (window.height, window.width)
        return cls(np.zeros((classes, *shape), np.float32), np.zeros(shape, np.bool_))

    def put(self, one: WarpedMap, pixels: Pixels, where: Mask) -> None:
        """Let a map have its say, alone, in some pixels."""
        if not where.any():
            return
        np.copyto(self.probabilities, pixels.values, where=where)
        self.valid |= where
        self.shares = [(other, mask & ~where) for other, mask in self.shares]
        self.shares.append((one, where))


MergeRule = Callable[[Sequence[WarpedMap], Window, int], Merged]


def blend(maps: Sequence[WarpedMap], window: Window, classes: int) -> Merged:
    """Mean of all, each weighing less towards its own edge; in an order of the maps' own."""
    merged = Merged.nothing(classes, window)
    total = np.zeros(merged.valid.shape, np.float32)
    alone: tuple[WarpedMap, Pixels] | None = None
    for one in sorted(maps, key=lambda each: each.source.path):
        pixels = one.pixels(window)
        if pixels is None:
            continue
        if not merged.valid.any():
            # Where there is one map only, how much it weighs need not be known.
            alone = one, pixels
            merged.put(one, pixels, pixels.valid)
            continue
        if alone is not None:
            total += alone[0].weights(window, alone[1].valid)
            alone = None
        weights = one.weights(window, pixels.valid)
        total += weights
        share = np.divide(weights, total, out=np.zeros_like(total), where=pixels.valid)
        merged.probabilities += (pixels.values - merged.probabilities) * share
        merged.valid |= pixels.valid
        merged.shares.append((one, pixels.valid))
    return merged


def most_confident(maps: Sequence[WarpedMap], window: Window, classes: int) -> Merged:
    """The one whose most probable class is most probable."""
    merged = Merged.nothing(classes, window)
    for one in sorted(maps, key=lambda each: each.source.path):
        pixels = one.pixels(window)
        if pixels is not None:
            surer = pixels.values.max(axis=0) > merged.probabilities.max(axis=0)
            merged.put(one, pixels, pixels.valid & (surer | ~merged.valid))
    return merged


def first(maps: Sequence[WarpedMap], window: Window, classes: int) -> Merged:
    """The first one given that is valid."""
    merged = Merged.nothing(classes, window)
    for one in maps:
        if merged.valid.all():
            break
        pixels = one.pixels(window)
        if pixels is not None:
            merged.put(one, pixels, pixels.valid & ~merged.valid)
    return merged


def last(maps: Sequence[WarpedMap], window: Window, classes: int) -> Merged:
    """The last one given that is valid."""
    return first(maps[::-1], window, classes)


RULES: Mapping[MergeName, MergeRule] = {
    "blend": blend,
    "max": most_confident,
    "first": first,
    "last": last,
}
