"""Base weights: SAM checkpoints as Meta publishes them, ViTs as timm does, and bases of ours."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from geoconvlora.errors import WeightsError
from geoconvlora.weights.catalogue import BASE_KEY, OFFICIAL, base_header, find_base, sha256_of
from geoconvlora.weights.files import as_stored, write_tensors

if TYPE_CHECKING:
    from geoconvlora.sam import PromptFreeDecoder, Segmenter

PARTS = ("image_encoder", "mask_decoder", "prompt_encoder", "decoder")

CLASSIFIER = ("head", "fc_norm", "attn_pool")
"""Parts of a ViT of timm's that only its classifier needs."""

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Base weights in memory.

    Attributes:
        path: Their file.
        sha256: Of the file.
        tensors: By name; Meta's prefixes, and ``decoder.`` for a decoder of ours. A plain ViT's
            names have the prefix ``image_encoder.``.
        about: What a base of ours says of itself.
    """

    path: Path
    sha256: str
    tensors: Tensors
    about: dict[str, Any] = field(default_factory=dict)

    def part(self, prefix: str) -> Tensors:
        """The tensors below ``prefix``, without it."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def load_into(
        self, module: nn.Module, prefix: str, *, adapt: Callable[[Tensors], Tensors] | None = None
    ) -> None:
        """Load a part strictly.

        Raises:
            WeightsError: A tensor is missing, unknown or of another shape.
        """
        tensors = self.part(prefix)
        if not tensors:
            raise WeightsError(
                f"{self.path} holds no {prefix!r}: it is no checkpoint of an encoder"
            )
        try:
            if adapt is not None:
                tensors = adapt(tensors)
            module.load_state_dict(tensors, strict=True)
        except (RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise WeightsError(
                f"{self.path} is not for this encoder size: choose the size that its name says "
                f"({reason})"
            ) from None

    def start_decoder(self, decoder: PromptFreeDecoder) -> None:
        """Give a decoder what these weights have for it."""
        own = self.part("decoder")
        state = decoder.state_dict()
        if own:
            state.update({k: v for k, v in own.items() if k in state and v.shape == state[k].shape})
        elif self.part("mask_decoder"):
            state.update(self._official_start(state))
        decoder.load_state_dict(state)

    def _official_start(self, state: Tensors) -> Tensors:
        """From Meta's decoder: token 0 and its hypernetwork serve every query."""
        meta, prompt = self.part("mask_decoder"), self.part("prompt_encoder")
        start: Tensors = {}
        for name, tensor in state.items():
            source = meta.get(name)
            if name == "no_mask":
                source = prompt["no_mask_embed.weight"][0]
            elif name.startswith("positions."):
                source = prompt["pe_layer." + name.removeprefix("positions.")]
            elif name == "mask_tokens.weight":
                # Copies of one token stay one token under training: a little noise parts them.
                copies = meta[name][:1].expand(tensor.shape[0], -1)
                noise = 0.1 * copies.std() * torch.randn_like(tensor)
                noise[0] = 0
                source = copies + noise
            elif name.startswith("output_hypernetworks_mlps."):
                source = meta["output_hypernetworks_mlps.0." + name.split(".", 2)[2]]
            if source is not None and source.shape == tensor.shape:
                start[name] = source
        return start


def read_checkpoint(name: str | Path) -> Checkpoint:
    """Read base weights by path or name.

    Args:
        name: A path; the name of a bundled base; or an official name such as
            ``sam_vit_b_01ec64.pth`` that lies in the weights folder. A path may lead to a SAM
            checkpoint, a base of ours, or a plain ViT as timm and torchgeo publish them.

    Raises:
        WeightsError: They are missing or damaged, hold something else than tensors, or an official
            name's sha256 does not begin as the name says.
    """
    path = find_base(name).resolve()
    sha256 = sha256_of(path)
    official = OFFICIAL.get(path.name)
    if official is not None and not sha256.startswith(official.sha256_prefix):
        raise WeightsError(
            f"{path}: its sha256 is {sha256[:16]}..., which does not begin with "
            f"{official.sha256_prefix}: the file is damaged or another one; download it again"
        )
    return _read(path, sha256)


@lru_cache(maxsize=1)
def _read(path: Path, sha256: str) -> Checkpoint:
    about: dict[str, Any] = {}
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118
            about = base_header(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"{path} cannot be read as weights ({reason}): get the file again"
        ) from None
    tensors = _unwrapped(tensors)
    if not isinstance(tensors, dict) or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise WeightsError(f"{path} holds something else than tensors: it is not used")
    parts = {str(k).split(".")[0] for k in tensors}
    if {"patch_embed", "blocks"} <= parts:
        tensors = {
            f"image_encoder.{k}": v for k, v in tensors.items() if k.split(".")[0] not in CLASSIFIER
        }
    elif path.suffix == ".safetensors" and not about:
        raise WeightsError(f"{path} holds no base weights: it may be a model file")
    elif parts - set(PARTS):
        raise WeightsError(
            f"{path} holds {', '.join(sorted(parts - set(PARTS))[:5])}: it is neither a SAM "
            "checkpoint in Meta's format nor a ViT's with timm's names"
        )
    return Checkpoint(path, sha256, tensors, about)


def _unwrapped(content: Any) -> Any:
    """What training frameworks put beside an epoch and an optimiser's state."""
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            return content[key]
    return content


def save_base(
    path: str | Path,
    network: Segmenter,
    *,
    about: dict[str, Any] | None = None,
    half: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write a fully trained segmenter as base weights for adapters.

    Args:
        path: A ``.safetensors`` file.
        network: Its encoder and decoder are written.
        about: What to say of it: training data, licence, seed.
        half: Store 16-bit floats.
        overwrite: Replace a file that exists.

    Returns:
        The path.

    Raises:
        OutputError: The file exists, or cannot be written.
    """
    from geoconvlora.sam.encoder import encoder_arguments

    encoder = {f"image_encoder.{k}": v for k, v in network.encoder.state_dict().items()}
    decoder = {f"decoder.{k}": v for k, v in network.decoder.state_dict().items()}
    header = {
        **(about or {}),
        **encoder_arguments(network.encoder),
        "decoder": network.decoder.settings.model_dump(),
    }
    stored = as_stored({**encoder, **decoder}, half=half)
    return write_tensors(Path(path), stored, {BASE_KEY: json.dumps(header)}, overwrite)
