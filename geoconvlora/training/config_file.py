"""From a YAML file and overriding options to one checked configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from geoconvlora.errors import ConfigError
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.start import filled_by_model
from geoconvlora.training.whole_file import write_whole
from geoconvlora.weights.card import faults_of

Tree = dict[str, Any]


def load_config(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Read a configuration; an override beats the file, the file beats the defaults.

    Args:
        path: A YAML file; None builds the configuration from the overrides alone.
        overrides: Values by dotted key, such as ``{"optim.lr": 1e-4}``. None values are skipped.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: The file cannot be read, or a value cannot work; names file, key and mend.
        ModelFileError: The model to go on from is missing or damaged.

    Example:
        >>> config = load_config("configs/fields_base.yaml", {"optim.epochs": 1})
        >>> config.optim.epochs
        1
    """
    tree = filled_by_model(read_tree(path, overrides))
    try:
        return TrainConfig.model_validate(tree)
    except ValidationError as error:
        where = "options" if path is None else str(path)
        raise ConfigError(explain(where, error)) from None


def save_config(config: TrainConfig, path: Path) -> None:
    """Write a configuration as YAML that :func:`load_config` reads back equal."""
    write_whole(path, as_yaml(config.model_dump(mode="json")).encode())


def differing_keys(one: TrainConfig, other: TrainConfig) -> list[str]:
    """Dotted keys whose values differ between two configurations."""
    return differing_leaves(*(c.model_dump(mode="json") for c in (one, other)))


def differing_leaves(one: Tree, other: Tree) -> list[str]:
    """Dotted keys whose values differ between two trees; lists are compared as a whole."""
    flat_one, flat_other = dict(_leaves(one)), dict(_leaves(other))
    keys = flat_one.keys() | flat_other.keys()
    return sorted(k for k in keys if flat_one.get(k) != flat_other.get(k))


def as_yaml(tree: Tree) -> str:
    """YAML with the keys in their order."""
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def read_tree(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> Tree:
    """Read a YAML file and put overrides, by dotted key, over it; None values are skipped.

    Raises:
        ConfigError: The file cannot be read, or is no mapping.
    """
    tree = {} if path is None else _read(Path(path))
    for key, value in (overrides or {}).items():
        if value is not None:
            put(tree, key, value)
    return tree


def put(tree: Tree, key: str, value: object) -> None:
    """Set the value of a dotted key, making the sections that lead to it."""
    *sections, last = key.split(".")
    for section in sections:
        child = tree.get(section)
        if not isinstance(child, dict):
            child = {}
        tree[section] = child
        tree = child
    tree[last] = value


def _read(path: Path) -> Tree:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: not a YAML file ({reason})") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys such as 'model:' and 'data:' at the top level")
    return tree


def _leaves(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(tree, dict) or not tree:
        return [(prefix, tree)]
    return [
        leaf
        for key, value in tree.items()
        for leaf in _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    ]


def explain(where: str, error: ValidationError, root: type[BaseModel] = TrainConfig) -> str:
    """One line a problem: where it is, the key, and what is wrong."""
    lines = []
    for problem in faults_of(error):
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            text = f"unknown key{_known_keys(root, problem['loc'])}"
        elif problem["type"] == "missing":
            text = "is missing"
        else:
            text = problem["msg"].removeprefix("Value error, ")
            if isinstance(problem["input"], str | int | float | bool):
                text += f" (it is {problem['input']!r})"
        lines.append(f"{where}: {key}: {text}" if key else f"{where}: {text}")
    return "\n".join(lines)


def _known_keys(section: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """The keys that stand beside an unknown one, where plain sections lead there."""
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type):
            return ""
        if not issubclass(field.annotation, BaseModel):
            return ""
        section = field.annotation
    return "; the keys here are " + ", ".join(section.model_fields)
