"""Networks that other libraries trained, each with a card that a user wrote beside it.

Two forms are read: the folder that segmentation-models-pytorch writes (``config.json`` and
``model.safetensors``) and a checkpoint of torchgeo's semantic segmentation (``.ckpt``). Neither
says which bands it wants, how they are scaled and what its classes are; the card does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from geoconvlora.errors import ModelFileError
from geoconvlora.weights.card import ModelCard, fault_of_card

if TYPE_CHECKING:
    from torch import nn

CONFIG, TENSORS = "config.json", "model.safetensors"
_CARD_SUFFIXES = (".yaml", ".yml", ".json")
_OF_ADAPTERS = ("base", "method", "method_settings", "decoder")
"""Keys of the card that describe networks of this package alone."""


def is_foreign(path: Path) -> bool:
    """Whether a path is in one of the forms of other libraries."""
    return path.suffix == ".ckpt" or (path / CONFIG).is_file()


def read_foreign_card(path: Path) -> ModelCard:
    """Read the card beside a network of another library, without torch.

    Args:
        path: A folder, with ``card.yaml`` or ``card.json`` in it; or a checkpoint ``NAME.ckpt``
            with ``NAME.card.yaml`` or ``NAME.card.json`` beside it.

    Raises:
        ModelFileError: There is no card, it cannot be read, or the folder's configuration says
            something else.
    """
    file = _card_file(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for key in _OF_ADAPTERS:
            if key in content:
                raise ModelFileError(
                    f"{file}: {key} is for models of this package: leave it out for {path.name}"
                )
        card = ModelCard.model_validate(content)
    except ValidationError as error:
        raise ModelFileError(f"{file}: {fault_of_card(error)}") from None
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelFileError(f"{file} cannot be read as a card ({reason})") from None
    if path.is_dir():
        config = _read_config(path)
        _check_shape(path, card, bands=config.get("in_channels"), outputs=config.get("classes"))
    return card


def load_foreign(path: Path, card: ModelCard) -> nn.Module:
    """Build a network of another library and load its tensors.

    Returns:
        A module from normalised images (B, bands, H, W) to logits (B, classes, H, W).

    Raises:
        ModelFileError: The file is damaged, holds code or NaN, or is not of a known kind.
    """
    from geoconvlora.weights.files import first_not_finite
    from geoconvlora.weights.foreign_network import ForeignNetwork

    build, tensors = _from_folder(path) if path.is_dir() else _from_checkpoint(path, card)
    try:
        network = build()
        network.load_state_dict(tensors)
    except Exception as error:
        # Each library and each encoder of theirs has its own exceptions for what it cannot build.
        reason = " ".join(str(error).split())[:300]
        raise ModelFileError(
            f"{path}: the network that it describes cannot be built or does not fit its tensors "
            f"({type(error).__name__}: {reason})"
        ) from None
    broken = first_not_finite(tensors)
    if broken is not None:
        raise ModelFileError(f"{path} holds NaN or infinity (in {broken}), so it can map nothing")
    whole = ForeignNetwork(network, outputs=len(card.classes))
    unit = whole.stride * math.lcm(*card.reductions)
    if card.tile_size % unit:
        raise ModelFileError(
            f"{path}: tile_size {card.tile_size} of its card is no multiple of the {unit} pixels "
            f"that the network needs (its stride is {whole.stride})"
        )
    return whole


def _card_file(path: Path) -> Path:
    start = path / "card" if path.is_dir() else path.with_suffix(".card")
    files = [start.with_name(f"{start.name}{suffix}") for suffix in _CARD_SUFFIXES]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise ModelFileError(
            f"{path} has no card: write {files[0]} with its bands, scaling, classes and tile_size, "
            "see docs/foreign_models.md"
        )
    return found


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path / CONFIG} cannot be read ({error})") from None
    if not isinstance(config, dict) or "_model_class" not in config:
        raise ModelFileError(
            f"{path / CONFIG} names no _model_class: save the network with the save_pretrained of "
            "segmentation-models-pytorch 0.4 or later"
        )
    return config


def _check_shape(path: Path, card: ModelCard, *, bands: Any, outputs: Any) -> None:
    if bands != len(card.bands):
        raise ModelFileError(f"{path} takes {bands} bands, but its card names {len(card.bands)}")
    if outputs != len(card.classes) and (outputs, len(card.classes)) != (1, 2):
        one = "; one output is for two classes" if outputs == 1 else ""
        raise ModelFileError(
            f"{path} has {outputs} outputs, but its card names {len(card.classes)} classes{one}"
        )


def _from_folder(path: Path) -> tuple[Callable[[], nn.Module], dict[str, Any]]:
    """The network of a folder of segmentation-models-pytorch, and its tensors."""
    import segmentation_models_pytorch as smp
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = _read_config(path)
    kind = getattr(smp, str(config["_model_class"]), None)
    if not (isinstance(kind, type) and issubclass(kind, smp.base.SegmentationModel)):
        raise ModelFileError(
            f"{path / CONFIG}: segmentation-models-pytorch {smp.__version__} has no network "
            f"{config['_model_class']!r}"
        )
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    if settings.get("aux_params"):
        raise ModelFileError(f"{path} also classifies images (aux_params): it makes no map alone")
    # The blending makes probabilities of logits; an activation would be a second one.
    activation = settings.pop("activation", None)
    wanted = "sigmoid" if settings.get("classes") == 1 else "softmax"
    if activation is not None and not str(activation).startswith(wanted):
        raise ModelFileError(f"{path} has the activation {activation!r}, which is no {wanted}")
    try:
        tensors = load_file(path / TENSORS)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path / TENSORS} is missing or damaged ({error})") from None
    return partial(kind, **{**settings, "encoder_weights": None}), tensors


def _from_checkpoint(path: Path, card: ModelCard) -> tuple[Callable[[], nn.Module], dict[str, Any]]:
    """The network of a checkpoint of torchgeo's task, and its tensors."""
    import pickle

    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        settings, stored = dict(state["hyper_parameters"]), dict(state["state_dict"])
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"{path} is damaged, or would have to run code of its own to be loaded ({reason}): "
            "where you trust it, load it with torchgeo and save its network with save_pretrained"
        ) from None
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"{path} is damaged, or no checkpoint of torchgeo's SemanticSegmentation ({reason})"
        ) from None
    if settings.get("task", "multiclass") == "multilabel":
        raise ModelFileError(f"{path} is for several labels a pixel: a map has one class a pixel")
    outputs = settings.get("num_classes") or settings.get("num_labels") or 1
    _check_shape(path, card, bands=settings.get("in_channels", 3), outputs=outputs)
    tensors = {k.removeprefix("model."): v for k, v in stored.items() if k.startswith("model.")}
    return partial(_build_like_torchgeo, settings, outputs), tensors


def _build_like_torchgeo(settings: Mapping[str, Any], outputs: int) -> nn.Module:
    """What torchgeo's task of these hyperparameters builds, in any of its versions."""
    import segmentation_models_pytorch as smp

    name, bands = settings["model"], settings.get("in_channels", 3)
    if name == "fcn":
        from torchgeo.models import FCN

        fcn: nn.Module = FCN(bands, outputs, settings.get("num_filters", 3))
        return fcn
    kinds = {
        "unet": smp.Unet,
        "deeplabv3+": smp.DeepLabV3Plus,
        "upernet": smp.UPerNet,
        "segformer": smp.Segformer,
        "dpt": smp.DPT,
    }
    network: nn.Module = kinds[name](
        encoder_name=settings["backbone"], encoder_weights=None, in_channels=bands, classes=outputs
    )
    return network
