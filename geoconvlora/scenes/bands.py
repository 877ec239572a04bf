"""Which bands of a scene a model reads."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from geoconvlora.errors import BandError

#: Words of a band's description, and the colour that each combination means. Longer ones first:
#: "red edge" is not red, "shortwave infrared" is not near infrared.
_ROLES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"red", "edge"}), "rededge"),
    (frozenset({"rededge"}), "rededge"),
    (frozenset({"shortwave", "infrared"}), "swir"),
    (frozenset({"thermal", "infrared"}), "tir"),
    (frozenset({"near", "infrared"}), "nir"),
    (frozenset({"nearinfrared"}), "nir"),
    (frozenset({"nir"}), "nir"),
    (frozenset({"swir"}), "swir"),
    (frozenset({"coastal"}), "coastal"),
    (frozenset({"pan"}), "pan"),
    (frozenset({"red"}), "red"),
    (frozenset({"green"}), "green"),
    (frozenset({"blue"}), "blue"),
    # Two-digit names are Sentinel-2's (and HLS's, which agrees on these four); a bare "B4" is red
    # for Landsat 8 and near infrared for Landsat 7, so it stays without a meaning.
    (frozenset({"b02"}), "blue"),
    (frozenset({"b03"}), "green"),
    (frozenset({"b04"}), "red"),
    (frozenset({"b08"}), "nir"),
)
#: Places of colours in a stack of Sentinel-2's bands from B1 on, and from how many unnamed bands on
#: a scene may be such a stack.
_SENTINEL2 = {"blue": 2, "green": 3, "red": 4, "nir": 8}
_SENTINEL2_BANDS = 10
#: Bands that an error lists; of a hyperspectral scene the first ones.
_LISTED = 40


@dataclass(frozen=True)
class BandLabel:
    """What a raster says of one of its bands."""

    index: int
    """1-based."""
    description: str
    """Empty where there is none."""
    color: str
    """GDAL's colour interpretation: ``red``, ``alpha``, ``undefined``, ..."""
    dtype: str
    """Type of the stored values: ``uint16``, ..."""

    @property
    def name(self) -> str:
        """The best name that the raster gives."""
        if self.description:
            return self.description
        return self.color if role_of(self.color) else f"band {self.index}"

    @property
    def role(self) -> str | None:
        """The colour that the band shows; its description counts before its interpretation."""
        return role_of(self.description) or role_of(self.color)

    def __str__(self) -> str:
        """One line for the user: number, description, colour, type."""
        said = [word for word in (self.description, self.color) if word and word != "undefined"]
        return f"{self.index} ({', '.join(dict.fromkeys(said)) or 'unnamed'}, {self.dtype})"


def role_of(name: str) -> str | None:
    """Return the colour that a band's name means, or None.

    Example:
        >>> role_of("B04 - Red"), role_of("red edge 1"), role_of("B4")
        ('red', 'rededge', None)
    """
    words = set(re.findall(r"[a-z]+\d*|\d+", name.lower()))
    return next((role for needed, role in _ROLES if needed <= words), None)


def choose_bands(
    labels: Sequence[BandLabel],
    wanted: Sequence[str] | None,
    asked: Sequence[int] | None,
    path: str,
    *,
    strict: bool = False,
) -> tuple[int, ...]:
    """Return the 1-based bands to read, in the order of the model's channels.

    Args:
        labels: All bands of the scene.
        wanted: The model's band names in order; None takes every band but alpha.
        asked: The user's own choice, which is taken as it is.
        path: The scene, for messages.
        strict: Whether what is warned of is refused.

    Raises:
        BandError: The scene has too few bands, or which to take is not plain from its names.

    Warns:
        UserWarning: As many bands as wanted are taken by position, though the scene describes
            another one as a colour that is wanted. A card does not say whether its model maps any
            bands, such as false colours, hence that is no error. Who trains does say.
    """
    there = "; ".join(str(label) for label in labels[:_LISTED])
    if len(labels) > _LISTED:
        there += f"; and {len(labels) - _LISTED} more"
    if asked is not None:
        return _asked_bands(labels, wanted, asked, path, there)
    data = [label for label in labels if label.color != "alpha"]
    if not data:
        raise BandError(f"{path} has no band but alpha: choose bands with --bands")
    if wanted is None:
        return tuple(label.index for label in data)
    chosen = [_only_match(data, name) for name in wanted]
    found = tuple(index for index in chosen if index is not None)
    if len(set(found)) == len(wanted):
        return found
    if len(data) == len(wanted):
        misplaced = _misplaced(data, wanted)
        if misplaced and strict:
            raise BandError(
                f"{path} has other bands than {', '.join(wanted)}; by position they would be "
                f"{misplaced}: if that is meant, give their numbers with --bands"
            )
        if misplaced:
            warnings.warn(
                f"{path} has other bands than the model wants and is read by position, "
                f"{misplaced}: if that is not meant, choose with --bands, in the order "
                f"{', '.join(wanted)}",
                UserWarning,
                stacklevel=4,
            )
        return tuple(label.index for label in data)
    count = f"{len(data)} band" + ("s" if len(data) != 1 else "")
    raise BandError(
        f"{path} has {count}; the model wants {len(wanted)} ({', '.join(wanted)}): give their "
        f"numbers with --bands, in the order {', '.join(wanted)}{_hint(data, wanted)}. "
        f"The scene's bands: {there}"
    )


def _misplaced(data: Sequence[BandLabel], wanted: Sequence[str]) -> str:
    """Which band each wanted one would be by position; empty where no description contradicts."""
    # Descriptions alone: writers call the first three bands red, green and blue unasked.
    there = [role_of(label.description) for label in data]
    needed = [role_of(name) for name in wanted]
    pairs = zip(needed, there, strict=True)
    if not any(role is not None and role != own and role in there for role, own in pairs):
        return ""
    named = zip(wanted, data, strict=True)
    return ", ".join(f"{name} = {label.index} ({label.name})" for name, label in named)


def _hint(data: Sequence[BandLabel], wanted: Sequence[str]) -> str:
    """What the bands may be, where the scene does not say it."""
    if len(data) < len(wanted):
        return "; one may be given more than once"
    if len(data) < _SENTINEL2_BANDS or any(label.description or label.role for label in data):
        return ""
    places = [_SENTINEL2[role] for name in wanted if (role := role_of(name)) in _SENTINEL2]
    if len(places) < len(wanted):
        return ""
    from_b1, from_b2 = (",".join(str(place - cut) for place in places) for cut in (0, 1))
    return (
        f" (mostly --bands {from_b1} for a Sentinel-2 stack, {from_b2} for one that begins with B2)"
    )


def _asked_bands(
    labels: Sequence[BandLabel],
    wanted: Sequence[str] | None,
    asked: Sequence[int],
    path: str,
    there: str,
) -> tuple[int, ...]:
    if wanted is not None and len(asked) != len(wanted):
        raise BandError(
            f"--bands names {len(asked)} bands; the model wants {len(wanted)} "
            f"({', '.join(wanted)}), in this order"
        )
    missing = [band for band in asked if not 1 <= band <= len(labels)]
    if missing or not asked:
        raise BandError(
            f"{path} has no band {missing[0] if missing else ''}: "
            f"its bands, counted from 1, are {there}"
        )
    return tuple(asked)


def _only_match(data: Sequence[BandLabel], wanted: str) -> int | None:
    """Return the one band that carries the wanted name or shows the wanted colour."""
    same = [label.index for label in data if label.description.lower() == wanted.lower()]
    role = role_of(wanted)
    if not same and role is not None:
        same = [label.index for label in data if label.role == role]
    return same[0] if len(same) == 1 else None
