"""Training that goes on from a model: what its card says for the run, and its weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoconvlora.errors import ConfigError, ModelFileError
from geoconvlora.weights import find_base_of, find_model, read_card
from geoconvlora.weights.card import ModelCard

if TYPE_CHECKING:
    from geoconvlora.sam import Segmenter

LARGEST_TILE = 256
"""Models map in larger tiles than training has memory for."""
LR = 1e-4
"""Highest learning rate where none is given: a few tiles at the usual one destroy what a model
knows (``benchmarks/few_tiles.py``)."""


def filled_by_model(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration, with what the card of its ``init`` says where it is silent itself.

    Args:
        tree: As it stands in a YAML file; one without ``init`` comes back as it is.

    Raises:
        ModelFileError: The model is missing or damaged, or another library's.
        ConfigError: The configuration's ``model`` is another one, or ``init`` is no name.
    """
    model = tree.get("init")
    if model is None:
        return dict(tree)
    if not isinstance(model, str):
        raise ConfigError(
            f"init is {model!r}: give the name of a bundled model, or the path of a model file"
        )
    card = _card(model)
    content = card.model_dump(mode="json")
    unit = card.network_multiple
    known = {
        "task": content["task"],
        "classes": content["classes"],
        "instances": content["instances"],
        "bands": content["bands"],
        "scaling": content["scaling"],
        "resolution": content["resolution"],
        "map_views": content["views"],
        "map_precision": content["precision"],
        "tile_size": min(card.tile_size, LARGEST_TILE // unit * unit),
    }
    side = tree.get("map_tile_size") or tree.get("tile_size") or known["tile_size"]
    if isinstance(side, int) and side % card.multiple == 0:
        known["map_reductions"] = content["reductions"]
    elif len(card.reductions) > 1 and "map_reductions" not in tree:
        warnings.warn(
            f"{model} maps tiles at {len(card.reductions)} sizes, the new model at one: its tiles "
            f"are no multiple of {card.multiple}; set map_tile_size to one to keep that",
            UserWarning,
            stacklevel=2,
        )
    if "classes" in tree:
        # What a model maps is of one piece: other classes are no objects of its rule.
        for key in ("task", "instances"):
            del known[key]
    # A few labelled tiles need not show all that the model knows already.
    filled = {
        "split": {"absent_classes": "warn", **_section(tree, "split")},
        "optim": {"lr": LR, **_section(tree, "optim")},
        "model": _network(model, card, _section(tree, "model")),
    }
    odd = {key: tree[key] for key in filled if not isinstance(tree.get(key), Mapping | None)}
    return {**known, **tree, **filled, **odd}


def start_from(network: Segmenter, model: str, base: str | None) -> None:
    """Give a network with its adapter the weights of a model.

    Args:
        network: Built on the model's base weights, with its method attached.
        model: A bundled model's name, or a model file.
        base: Its base weights' name or file.

    Raises:
        ModelFileError: The file is damaged, or for other base weights.
        WeightsError: The base weights are missing.

    Warns:
        UserWarning: Tensors of the model are for other classes or bands, and start anew.
    """
    from geoconvlora.weights.model_file import read_tensors

    path = find_model(model)
    find_base_of(path, _card(model), base)
    state, stored = network.state_dict(), read_tensors(path)
    fitting = {
        name: tensor.to(state[name].dtype)
        for name, tensor in stored.items()
        if name in state and tensor.shape == state[name].shape
    }
    if len(fitting) < len(stored):
        odd = next(name for name in stored if name not in fitting)
        warnings.warn(
            f"{model}: {len(stored) - len(fitting)} of {len(stored)} tensors (such as {odd}) are "
            "for other classes or bands than this run's: they start anew",
            UserWarning,
            stacklevel=2,
        )
    network.load_state_dict(fitting, strict=False)


def inherited_data(model: str | None) -> tuple[str, ...]:
    """The data sets that a model has seen, for the card of one that went on from it."""
    return () if model is None else _card(model).training.data


def _section(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The section of this key; empty where there is none, or something else."""
    section = tree.get(key)
    return section if isinstance(section, Mapping) else {}


def _card(model: str | Path) -> ModelCard:
    card = read_card(model)
    if card.base is None:
        raise ModelFileError(f"{model} is another library's network: training cannot go on from it")
    return card


def _network(model: str, card: ModelCard, given: Mapping[str, Any]) -> dict[str, Any]:
    """The ``model`` section; what is given may only say the same, or where the base is."""
    assert card.base is not None  # What _card lets through has one.
    own: dict[str, Any] = {
        "base": card.base.name if card.base.sha256 else None,
        "size": card.base.size,
        "method": card.method,
        "settings": card.method_settings,
        "decoder": card.decoder,
    }
    for key in ("size", "method", "settings", "decoder"):
        if given.get(key) not in (None, {}, own[key]):
            raise ConfigError(
                f"model.{key} is {given[key]!r}, but training goes on from {model}, where it is "
                f"{own[key]!r}: leave out model.{key}, or init"
            )
    # Whether a base that is given is the model's own, its sha256 tells.
    if own["base"] is not None and given.get("base"):
        own["base"] = given["base"]
    return {**given, **own}
