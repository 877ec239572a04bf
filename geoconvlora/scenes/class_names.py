"""Names and colours of a class raster's values, which its writer stores as a tag."""

from __future__ import annotations

import json

from rasterio.io import DatasetReader

from geoconvlora.errors import SceneError

CLASSES_TAG = "GEOCONVLORA_CLASSES"
"""Dataset tag of class rasters: JSON list of ``{"id", "name", "color"}``."""
MODEL_TAG = "GEOCONVLORA_MODEL"
"""Dataset tag of rasters that a model made: its name."""


def named_classes(source: DatasetReader) -> dict[int, str]:
    """Return class names by value; empty where the file does not tell.

    Raises:
        SceneError: The tag is damaged.
    """
    names, _ = class_table(source.tags().get(CLASSES_TAG), source.name)
    return names


def class_table(text: object, where: str) -> tuple[dict[int, str], dict[str, str]]:
    """Names by value, and colours ``#rrggbb`` by name, of the tag's text; empty without one.

    Raises:
        SceneError: The tag is damaged; ``where`` names the raster.
    """
    if text is None:
        return {}, {}
    try:
        entries = json.loads(str(text))
        names = {int(entry["id"]): str(entry["name"]) for entry in entries}
        colors = {str(e["name"]): e["color"] for e in entries if is_color(e.get("color"))}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise SceneError(
            f"{where}: the tag {CLASSES_TAG} is not a JSON list of id, name and color"
        ) from error
    return names, colors


def is_color(text: object) -> bool:
    """Whether a text is a colour as ``#rrggbb``."""
    if not isinstance(text, str) or len(text) != 7 or text[0] != "#":
        return False
    return all(digit in "0123456789abcdefABCDEF" for digit in text[1:])
