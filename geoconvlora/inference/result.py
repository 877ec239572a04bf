"""What a prediction reports."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class PredictionResult(BaseModel):
    """What was predicted, and where it was written."""

    model_config = ConfigDict(frozen=True)

    scene: str
    """The scene as it was named; of several, their short names with commas."""
    scenes: tuple[str, ...] = ()
    """Several scenes as they were named."""
    model: str
    """The model card's name."""
    outputs: tuple[Path, ...]
    """Files written; with ``dry_run``, those that would have been."""
    height: int
    """Rows of the scene."""
    width: int
    """Columns of the scene."""
    bands: tuple[int, ...]
    """Bands read, 1-based, in the model's order."""
    gsd_m: float
    """Pixel size of the grid predicted on, in metres."""
    tiles: int
    """Tiles in the scene's tile grid; those without a valid pixel are skipped."""
    dry_run: bool = False
    valid_fraction: float | None = None
    """Share of valid pixels on the grid predicted on."""
    polygons: int | None = None
    """Polygons written; None where no polygons were asked for."""
    area_m2: dict[str, float] = {}
    """Area of the polygons written, by class."""
    seconds: float = 0.0
