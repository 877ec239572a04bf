"""Which class of the labels is which of the prediction."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.evaluate.rasters import MAX_ID


def class_ids(
    texts: Sequence[str], names: Mapping[int, str], class_map: Mapping[str, str], where: str
) -> NDArray[np.int64]:
    """Ids of polygons' classes.

    Args:
        texts: What their class column holds, ``(n,)``.
        names: The prediction's class names by id; empty: numbers are ids.
        class_map: The prediction's class, by name or id, for values that are called otherwise.
        where: The column, for messages.

    Raises:
        LabelError: A value is no class of the prediction.
        ConfigError: No key is one of the values.

    Example:
        >>> class_ids(["crop", "2"], {1: "crop", 2: "water"}, {}, "labels").tolist()
        [1, 2]
    """
    check_keys(class_map, texts)
    by_text: dict[str, int] = {}
    unknown = []
    for text in sorted(set(texts)):
        number = _number(class_map.get(text, text), names)
        if number is None:
            unknown.append(text)
        else:
            by_text[text] = number
    if unknown:
        known = ", ".join(f"{name} ({i})" for i, name in sorted(names.items())) or "numbers alone"
        raise LabelError(
            f"{where} holds {', '.join(map(repr, unknown[:10]))}, which the prediction does not "
            f"have (it has {known}): map them with --class-map LABEL=CLASS"
        )
    return np.array([by_text[text] for text in texts], np.int64)


def check_keys(mapping: Mapping[str, str], classes: Iterable[str]) -> None:
    """Tell keys that rename nothing: they may be mistyped, or of a class that is not here.

    Args:
        mapping: From class to class.
        classes: Those that occur.

    Raises:
        ConfigError: None of the keys occurs.

    Warns:
        UserWarning: Some do not.
    """
    known = set(classes)
    absent = [key for key in mapping if key not in known]
    if not absent or not known:
        return
    listed = ", ".join(sorted(known)[:10]) + (", ..." if len(known) > 10 else "")
    if len(absent) == len(mapping):
        raise ConfigError(f"{absent[0]!r} is no class: give one of {listed}")
    names = ", ".join(map(repr, absent))
    warnings.warn(
        f"no polygon is of class {names}, to be called otherwise: there are {listed}",
        UserWarning,
        stacklevel=3,
    )


def lookup(
    names: Mapping[int, str], *, steps: Sequence[tuple[Mapping[str, str], Mapping[int, str]]]
) -> NDArray[np.uint16]:
    """A table from id to id, ``(65536,)``, after renaming classes in steps.

    Args:
        names: The prediction's class names by id; what classes are renamed to.
        steps: A mapping each, and the names in which its keys are given.

    Raises:
        ConfigError: A key or value is no class.

    Example:
        >>> lookup({1: "field"}, steps=[({"2": "field"}, {})])[[1, 2, 3]].tolist()
        [1, 1, 3]
    """
    table = np.arange(2**16)
    for mapping, own in steps:
        renamed = np.arange(2**16)
        for before, after in mapping.items():
            renamed[_known(before, own)] = _known(after, names)
        table = renamed[table]
    return table.astype(np.uint16)


def _known(text: str, names: Mapping[int, str]) -> int:
    number = _number(text, names)
    if number is None:
        listed = ", ".join(f"{name} ({i})" for i, name in sorted(names.items()))
        raise ConfigError(
            f"{text!r} is no class: give {f'one of {listed}' if listed else 'a class id'}"
        )
    return number


def _number(text: str, names: Mapping[int, str]) -> int | None:
    """Id of a class by name, else by number; with names, the number of one of them."""
    for number, name in names.items():
        if name == text:
            return number
    if not text.isdecimal() or int(text) > MAX_ID:
        return None
    return int(text)
