"""Which class a value is, and in which colour it is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoconvlora.scenes.class_names import CLASSES_TAG, class_table
from geoconvlora.vector.styles import PALETTE


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

        Raises:
            SceneError: The tag is damaged; ``where`` names what has it.
        """
        names, by_name = class_table(attributes.get(CLASSES_TAG), where)
        if names:
            return cls(names, {i: by_name[n] for i, n in names.items() if n in by_name})
        ids = [int(value) for value in np.atleast_1d(attributes.get("flag_values", []))]
        meanings = str(attributes.get("flag_meanings", "")).split()
        colors = str(attributes.get("flag_colors", "")).split()
        return cls(dict(zip(ids, meanings, strict=False)), dict(zip(ids, colors, strict=False)))

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
        return {
            "flag_values": np.array(ids, np.uint16),
            "flag_meanings": " ".join(self.name(i).replace(" ", "_") for i in ids),
            "flag_colors": " ".join(self.color(i) for i in ids),
            CLASSES_TAG: json.dumps(entries),
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
