"""The parts of segment-anything that are used here, without what its package loads beside them.

``import segment_anything`` also imports torchvision, and with it PyTorch's compiler: two seconds
and 170 MB of every command, for tools that no map needs. Its model code needs neither, so it is
imported below the package as it lies on disk; who imports the package itself gets all of it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segment_anything.modeling.common import LayerNorm2d
    from segment_anything.modeling.image_encoder import (
        Attention,
        Block,
        ImageEncoderViT,
        get_rel_pos,
    )
    from segment_anything.modeling.mask_decoder import MLP
    from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom
    from segment_anything.modeling.transformer import TwoWayTransformer
else:
    _PACKAGE = "segment_anything"
    _whole = _PACKAGE in sys.modules
    if not _whole:
        sys.modules[_PACKAGE] = module_from_spec(find_spec(_PACKAGE))
    try:
        _modeling = import_module(f"{_PACKAGE}.modeling")
    finally:
        if not _whole:
            del sys.modules[_PACKAGE]
    LayerNorm2d = _modeling.common.LayerNorm2d
    Attention = _modeling.image_encoder.Attention
    Block = _modeling.image_encoder.Block
    ImageEncoderViT = _modeling.image_encoder.ImageEncoderViT
    get_rel_pos = _modeling.image_encoder.get_rel_pos
    MLP = _modeling.mask_decoder.MLP
    PositionEmbeddingRandom = _modeling.prompt_encoder.PositionEmbeddingRandom
    TwoWayTransformer = _modeling.transformer.TwoWayTransformer

__all__ = [
    "MLP",
    "Attention",
    "Block",
    "ImageEncoderViT",
    "LayerNorm2d",
    "PositionEmbeddingRandom",
    "TwoWayTransformer",
    "get_rel_pos",
]
