"""Which class a value is, and in which colour it is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoconvlora.scenes.class_names import CLASSES_TAG, class_table, is_color
from geoconvlora.vector.styles import PALETTE

_COLOR_TABLE = "color_table"
"""Attribute with the colours of ids that have no name: JSON of ``#rrggbb`` by id."""
_IDS = range(2**16)


@dataclass(frozen=True)
class Legend:
    """Names and colours by class id.

    Example:
        >>> legend = Legend({1: "field"}, {1: "#7fbf3f"})
        >>> legend.name(1), legend.name(2), legend.color(1)
        ('field', 'class_2', '#7fbf3f')
    """

    names: Mapping[int, str]
    colors: Mapping[int, str]

    @classmethod
    def of_attributes(cls, attributes: Mapping[Any, Any], where: str) -> Legend:
        """Read an array's or a file's: the tag ``GEOCONVLORA_CLASSES``, else the CF flags.

        Ids beyond 16 bits, which no array of classes holds, are left out.

        Raises:
            SceneError: The tag is damaged; ``where`` names what has it.
        """
        names, by_name = class_table(attributes.get(CLASSES_TAG), where)
        colors = {i: by_name[name] for i, name in names.items() if name in by_name}
        if not names:
            ids = [int(value) for value in np.atleast_1d(attributes.get("flag_values", []))]
            meanings = str(attributes.get("flag_meanings", "")).split()
            flagged = str(attributes.get("flag_colors", "")).split()
            names = dict(zip(ids, meanings, strict=False))
            colors = dict(zip(ids, flagged, strict=False))
        colors = {**_unnamed(attributes.get(_COLOR_TABLE)), **colors}
        return cls(
            {i: name for i, name in names.items() if i in _IDS},
            {i: color for i, color in colors.items() if i in _IDS and is_color(color)},
        )

    @property
    def ids(self) -> list[int]:
        """Ids of the classes that have a name, in order."""
        return sorted(self.names)

    @property
    def by_name(self) -> dict[str, str]:
        """Colours by name, in order of ids."""
        return {self.name(i): self.color(i) for i in self.ids}

    def name(self, class_id: int) -> str:
        """The class's name; ``class_<id>`` where it has none."""
        return self.names.get(class_id, f"class_{class_id}")

    def color(self, class_id: int) -> str:
        """``#rrggbb``; one of :data:`geoconvlora.vector.styles.PALETTE` where it has none."""
        return self.colors.get(class_id, PALETTE[class_id % len(PALETTE)])

    def with_ids(self, ids: Iterable[int]) -> Legend:
        """The same with names for ids that have none."""
        more = {i: self.name(i) for i in ids if i not in self.names}
        return Legend({**self.names, **more}, self.colors) if more else self

    def only(self, ids: Iterable[int]) -> Legend:
        """The same with a name for each of these ids and for no other."""
        return Legend({i: self.name(i) for i in ids}, {i: self.color(i) for i in ids})

    def attributes(self) -> dict[str, Any]:
        """An array's attributes: CF flags, and the tag that ``polygonize`` reads."""
        ids = self.ids
        entries = [{"id": i, "name": self.name(i), "color": self.color(i)} for i in ids]
        unnamed = {i: color for i, color in self.colors.items() if i not in self.names}
        return {
            "flag_values": np.array(ids, np.uint16),
            "flag_meanings": " ".join(self.name(i).replace(" ", "_") for i in ids),
            "flag_colors": " ".join(self.color(i) for i in ids),
            CLASSES_TAG: json.dumps(entries),
            **({_COLOR_TABLE: json.dumps(unnamed)} if unnamed else {}),
        }

    def table(self) -> np.ndarray:
        """Colours by id, ``(65536, 4)`` uint8; ids without a name have theirs too."""
        colors = np.empty((2**16, 4), np.uint8)
        colors[:, 3] = 255
        palette = np.array([list(bytes.fromhex(color[1:])) for color in PALETTE], np.uint8)
        colors[:, :3] = palette[np.arange(2**16) % len(PALETTE)]
        for class_id, color in self.colors.items():
            colors[class_id, :3] = list(bytes.fromhex(color[1:]))
        return colors


def _unnamed(text: object) -> dict[int, str]:
    """Colours by id; none where the text is not what this package writes."""
    try:
        return {int(i): str(color) for i, color in json.loads(str(text)).items()}
    except (ValueError, AttributeError):
        return {}
