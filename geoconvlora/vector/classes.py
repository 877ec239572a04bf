"""Which classes are asked for, by name or by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from geoconvlora.errors import ConfigError

BACKGROUND = "background"
"""Name of the class, with id 0, that is not written unless asked for."""


def wanted_ids(
    names: Mapping[int, str], asked: Sequence[str | int] | None, where: str
) -> frozenset[int]:
    """Ids of the classes to write.

    Args:
        names: Class name by id.
        asked: Names or ids (numbers also as text); None: all but the background.
        where: What has these classes, for the message.

    Raises:
        ConfigError: A name or id that ``names`` does not hold.
    """
    if asked is None:
        return frozenset(i for i, name in names.items() if (i, name) != (0, BACKGROUND))
    by_text = {str(i): i for i in names} | {name: i for i, name in names.items()}
    for one in asked:
        if str(one) not in by_text:
            if not names:
                raise ConfigError(f"{where} has no class {one!r}: none of its pixels is valid")
            listed = ", ".join(f"{name} ({i})" for i, name in sorted(names.items()))
            raise ConfigError(f"{where} has no class {one!r}: choose from {listed}")
    return frozenset(by_text[str(one)] for one in asked)
