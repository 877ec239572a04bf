"""The network that a run trains, and the base weights that it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from geoconvlora.adapters import attach
from geoconvlora.errors import WeightsError
from geoconvlora.sam import Segmenter, build_segmenter
from geoconvlora.sam.adaptable import AdaptableEncoder
from geoconvlora.training.config import Size
from geoconvlora.weights import find_base, read_checkpoint, sha256_of
from geoconvlora.weights.card import BaseWeights
from geoconvlora.weights.catalogue import OFFICIAL, bundled_bases

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

Part = Literal["encoder", "adapter", "decoder"]
PARTS: tuple[Part, ...] = get_args(Part)


def build_network(
    size: Size | None,
    base: str | None,
    method: str,
    *,
    settings: Mapping[str, Any],
    decoder: Mapping[str, Any],
    bands: int,
    classes: int,
) -> Segmenter:
    """Build the network, load its base weights and attach the method, ready to train.

    Args:
        size: Size of the encoder; None takes the base weights' size.
        base: Base weights by name or path; None starts at random.
        method: Adaptation method.
        settings: Settings of the method.
        decoder: Settings of the decoder.
        bands: Input bands.
        classes: Classes, background included.

    Raises:
        ConfigError: The method or a setting is unknown.
        WeightsError: The base weights are missing or wrong.
    """
    network = build_segmenter(
        describe_base(size, base).size,
        classes=classes,
        bands=bands,
        checkpoint=None if base is None else find_base(base),
        decoder=decoder,
    )
    attach(network.encoder, method, **settings)
    return network.train()


def part_of(name: str, encoder: AdaptableEncoder) -> Part:
    """Which part of a segmenter a parameter belongs to, by its name there."""
    if name.startswith("decoder."):
        return "decoder"
    return "adapter" if name.removeprefix("encoder.") in encoder.added else "encoder"


def shard(network: Segmenter, mesh: DeviceMesh) -> None:
    """Share the network's weights out over devices: each keeps a part of every block's.

    Args:
        network: With its adapter; its parameters become distributed tensors.
        mesh: The devices, in one dimension.
    """
    from torch.distributed.fsdp import fully_shard

    for block in network.encoder.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


def describe_base(size: Size | None, base: str | None) -> BaseWeights:
    """Name, size and sha256 of the base weights.

    Raises:
        WeightsError: The base weights are missing, damaged, or of unknown size.
    """
    if base is None:
        return BaseWeights(name="random weights", size=size or "vit_t")
    path = find_base(base)
    official = OFFICIAL.get(path.name)
    own_size = official.size if official else read_checkpoint(path).about.get("size")
    if size is None and own_size is None:
        raise WeightsError(
            f"{path} does not say its size: set model.size, such as vit_b "
            "or timm/vit_small_patch16_224"
        )
    name = base if base in bundled_bases() else path.name
    return BaseWeights.model_validate(
        {"name": name, "size": size or own_size, "sha256": sha256_of(path)}
    )
