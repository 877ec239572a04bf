"""Where maps and their polygons come from, and how rasters say so in tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from geoconvlora.scenes.class_names import MODEL_TAG

MODEL_SHA256_TAG = "GEOCONVLORA_MODEL_SHA256"
"""Dataset tag of rasters that a model made: sha256 of its file."""
DATE_TAG = "ACQUISITION_DATETIME"
"""Dataset tag of our rasters: when their scenes were taken, a moment or an interval of ISO 8601."""


@dataclass(frozen=True)
class Origin:
    """Where a map comes from: attributes that all polygons of a layer share.

    Attributes:
        scene: Name of the scene or raster.
        date: When the scene was taken, ISO 8601; empty where nobody says.
        model: Name of the model that made the map; empty without.
        model_sha256: Of the model's file; empty where it is not known.
    """

    scene: str
    date: str = ""
    model: str = ""
    model_sha256: str = ""

    @classmethod
    def of_tags(cls, scene: str, date: str, tags: Mapping[str, object]) -> Origin:
        """Return that of a raster with such tags, or of an array with such attributes."""
        return cls(scene, date, str(tags.get(MODEL_TAG, "")), str(tags.get(MODEL_SHA256_TAG, "")))

    def metadata(self) -> dict[str, str]:
        """What is known of it, for a layer's metadata."""
        known = {
            "scene": self.scene,
            "date": self.date,
            "model": self.model,
            "model_sha256": self.model_sha256,
        }
        return {name: value for name, value in known.items() if value}

    def tags(self) -> dict[str, str]:
        """What is known of it but the scene's name, which a raster has itself, as tags."""
        known = {
            MODEL_TAG: self.model,
            MODEL_SHA256_TAG: self.model_sha256,
            DATE_TAG: self.date,
        }
        return {name: value for name, value in known.items() if value}
