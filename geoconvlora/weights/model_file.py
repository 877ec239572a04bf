"""Model files: an adapter, a decoder and the card, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from geoconvlora.errors import ConfigError, ModelFileError
from geoconvlora.weights.card import FORMAT_VERSION, BaseWeights, ModelCard, fault_of_card
from geoconvlora.weights.catalogue import find_base, find_model, sha256_of
from geoconvlora.weights.foreign import is_foreign, load_foreign, read_foreign_card

if TYPE_CHECKING:
    from torch import Tensor, nn

    from geoconvlora.sam import Segmenter

CARD_KEY = "geoconvlora"
DIGEST_KEY = "tensors_sha256"
"""Beside the card's keys: what the tensors were when they were written."""


@dataclass(frozen=True)
class Model:
    """A network that is ready to predict, and what its file says of it."""

    card: ModelCard
    network: nn.Module
    """Normalised images (B, bands, H, W) to logits (B, classes, H, W)."""


def read_card(name: str | Path) -> ModelCard:
    """Read a model's card, without torch.

    Args:
        name: A bundled model's name, a model file, or a network of another library with a card
            beside it, see :func:`geoconvlora.weights.foreign.read_foreign_card`.

    Raises:
        ModelFileError: The file is missing or damaged, or of an unknown format version.
    """
    path = find_model(name)
    if is_foreign(path):
        return read_foreign_card(path)
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(CARD_KEY)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path} is damaged or no model file ({error}): get it again"
        ) from None
    if text is None:
        raise ModelFileError(f"{path} has no model card: it was not written by geoconvlora")
    try:
        content = json.loads(text)
        version = content.get("format_version")
        if version != FORMAT_VERSION:
            raise ModelFileError(
                f"{path} has format version {version}, this package reads {FORMAT_VERSION}: "
                "use the geoconvlora that wrote it, or train again"
            )
        content.pop(DIGEST_KEY, None)
        card = ModelCard.model_validate(content)
    except (ValueError, AttributeError) as error:
        raise ModelFileError(
            f"{path}: its model card cannot be read ({_reason(error)}): get it again, or use the "
            "geoconvlora that wrote it"
        ) from None
    if card.base is None:
        raise ModelFileError(f"{path}: its model card names no base weights: get it again")
    return card


def _reason(error: Exception) -> str:
    """What is wrong with a card, on one line."""
    if isinstance(error, ValidationError):
        return fault_of_card(error)
    return " ".join(str(error).split())[:300]


def load(
    name: str | Path = "fields", *, device: str = "cpu", base: str | Path | None = None
) -> Model:
    """Load a model.

    Args:
        name: A bundled model's name, a model file, or a network of another library with a card
            beside it.
        device: Where the network goes, as torch names it.
        base: The base weights' file, where it is not bundled or in the weights folder.

    Returns:
        The model, in evaluation mode.

    Raises:
        ModelFileError: The file is damaged, holds NaN or infinity, is of an unknown format, or for
            other base weights.
        WeightsError: The base weights are not there.

    Example:
        >>> import geoconvlora
        >>> model = geoconvlora.load("fields")
        >>> [c.name for c in model.card.classes]
        ['background', 'field', 'boundary']
    """
    card = read_card(name)
    path = find_model(name)
    base_path = find_base_of(path, card, base)

    if card.base is None or card.method is None:
        network = load_foreign(path, card)
    else:
        network = _load_adapted(path, card, card.base, card.method, base_path)
    network.requires_grad_(False)
    return Model(card, network.to(device).eval())


def _load_adapted(
    path: Path, card: ModelCard, base: BaseWeights, method: str, base_path: Path | None
) -> Segmenter:
    from geoconvlora.adapters import attach
    from geoconvlora.sam import build_segmenter

    try:
        network = build_segmenter(
            base.size,
            classes=len(card.classes),
            bands=len(card.bands),
            checkpoint=base_path,
            decoder=card.decoder,
        )
        attach(network.encoder, method, **card.method_settings)
    except ConfigError as error:
        raise ModelFileError(
            f"{path}: the network that its model card describes cannot be built: {error}"
        ) from None
    _load_tensors(path, network)
    return network


def find_base_of(path: str | Path, card: ModelCard, base: str | Path | None = None) -> Path | None:
    """Find the base weights that a model file is for, and check them, without torch.

    Args:
        path: The model file, for messages.
        card: Its card.
        base: The base weights' file, where it is not bundled or in the weights folder.

    Returns:
        The file; None where all tensors are in the model file.

    Raises:
        ModelFileError: They are other base weights than the model is for, or it is for none.
        WeightsError: They are not there.
    """
    if card.base is None:
        if base is not None:
            raise ModelFileError(
                f"{path} is a whole network, without base weights: leave out {base}"
            )
        return None
    if card.base.sha256 is None:
        return None
    base_path = find_base(base or card.base.name)
    found = sha256_of(base_path)
    if found != card.base.sha256:
        raise ModelFileError(
            f"{path} is for the base weights {card.base.name} with sha256 "
            f"{card.base.sha256[:16]}..., but {base_path} has {found[:16]}...: "
            "give the right file with --base"
        )
    return base_path


def checked_card(model: str | Path | Model, base: str | Path | None = None) -> ModelCard:
    """The card of a model, loaded or not, once its base weights are known to be there.

    Raises:
        ModelFileError: It is missing or damaged, or for other base weights.
        WeightsError: The base weights are not there.
        ConfigError: ``base`` is given for a loaded model.
    """
    if isinstance(model, (str, PathLike)):
        card = read_card(model)
        find_base_of(model, card, base)
        return card
    if base is not None:
        raise ConfigError(f"base {base}: a loaded model has its base weights; leave base out")
    return model.card


def own_tensors(network: Segmenter) -> dict[str, Tensor]:
    """What a model file stores: the decoder, and the encoder's trained and added tensors."""
    from geoconvlora.adapters import adapter_tensor_names

    state = network.state_dict()
    own = {f"encoder.{name}" for name in adapter_tensor_names(network.encoder)}
    return {k: v for k, v in state.items() if k.startswith("decoder.") or k in own}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The adapter and the decoder of a model file, checked against their digest.

    Raises:
        ModelFileError: The file is damaged, or holds NaN or infinity.
    """
    from geoconvlora.weights.files import digest_of, first_not_finite

    try:
        with safe_open(path, framework="pt") as file:
            digest = json.loads(file.metadata()[CARD_KEY]).get(DIGEST_KEY)
            stored = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} is damaged ({error}): get it again") from None
    if digest is not None and digest != digest_of(stored):
        raise ModelFileError(f"{path} is damaged (its weights are not as written): get it again")
    broken = first_not_finite(stored)
    if broken is not None:
        raise ModelFileError(
            f"{path} holds NaN or infinity (in {broken}), so it can map nothing: its training "
            "diverged; take another model, or train again with a lower learning rate"
        )
    return stored


def _load_tensors(path: Path, network: Segmenter) -> None:
    expected, stored = own_tensors(network), read_tensors(path)
    wrong = [k for k in expected if k not in stored or stored[k].shape != expected[k].shape]
    wrong += [k for k in stored if k not in expected]
    if wrong:
        raise ModelFileError(
            f"{path}: {len(wrong)} tensors (such as {wrong[0]}) do not fit what its card "
            "describes: the file is damaged or was changed"
        )
    network.load_state_dict({k: v.to(expected[k].dtype) for k, v in stored.items()}, strict=False)


def save_model(
    path: str | Path,
    network: Segmenter,
    card: ModelCard,
    *,
    half: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a model file: adapter, decoder and card.

    Args:
        path: A ``.safetensors`` file.
        network: Its decoder and the tensors of its adapter are written, not the frozen encoder.
        card: What to say of it.
        half: Store 16-bit floats.
        overwrite: Replace a file that exists.

    Returns:
        The path.

    Raises:
        OutputError: The file exists, or cannot be written.
    """
    from geoconvlora.weights.files import as_stored, digest_of, write_tensors

    stored = as_stored(own_tensors(network), half=half)
    # One text: safetensors writes several in any order, and equal models shall be equal files.
    text = json.dumps({**json.loads(card.model_dump_json()), DIGEST_KEY: digest_of(stored)})
    return write_tensors(Path(path), stored, {CARD_KEY: text}, overwrite)
