"""What of a run's data is of which part, for the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from geoconvlora.training.labelled_scene import PartedScene
from geoconvlora.training.split import PARTS, Part


@dataclass(frozen=True)
class SplitRecord:
    """Ground of scenes, and tiles, by part."""

    scenes: tuple[PartedScene, ...] = ()
    tiles: Mapping[Part, tuple[Path, ...]] = field(default_factory=lambda: dict.fromkeys(PARTS, ()))
    class_pixels: Mapping[Part, tuple[int, ...]] = field(default_factory=dict)
    """Valid labelled pixels of each class on the network's grid."""

    @classmethod
    def joined(cls, records: Sequence[SplitRecord]) -> SplitRecord:
        """Of several sources together."""
        return cls(
            tuple(scene for record in records for scene in record.scenes),
            {part: tuple(t for record in records for t in record.tiles[part]) for part in PARTS},
            {
                part: tuple(np.sum(counts, axis=0).tolist())
                for part in PARTS
                if (counts := [r.class_pixels[part] for r in records if part in r.class_pixels])
            },
        )
