"""Names of a class raster's values, which its writer stores as a tag."""

from __future__ import annotations

import json

from rasterio.io import DatasetReader

from geoconvlora.errors import SceneError

CLASSES_TAG = "GEOCONVLORA_CLASSES"
"""Dataset tag of class rasters: JSON list of ``{"id", "name", "color"}``."""


def named_classes(source: DatasetReader) -> dict[int, str]:
    """Return class names by value; empty where the file does not tell.

    Raises:
        SceneError: The tag is damaged.
    """
    text = source.tags().get(CLASSES_TAG)
    if text is None:
        return {}
    try:
        return {int(entry["id"]): str(entry["name"]) for entry in json.loads(text)}
    except (ValueError, TypeError, KeyError) as error:
        raise SceneError(
            f"{source.name}: the tag {CLASSES_TAG} is not a JSON list of id, name and color"
        ) from error
