from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.transform import Affine
from torch import nn

from geoconvlora.weights import Model
from geoconvlora.weights.card import Band, BaseWeights, ClassInfo, ModelCard, Scaling


class Pointwise(nn.Module):
    """Each pixel's logits are its own bands, so a map made from it can have no seams."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(images.shape))
        return images.clone()


def make_card(**changes: Any) -> ModelCard:
    colors = ("#000000", "#00ff00", "#ff0000")
    settings: dict[str, Any] = {
        "name": "pointwise",
        "task": "classes",
        "base": BaseWeights(name="none", size="vit_t"),
        "method": "full",
        "classes": [
            ClassInfo(id=i, name=name, color=colors[i])
            for i, name in enumerate(("ground", "crop", "road"))
        ],
        "bands": [Band(name=name, mean=0, std=1) for name in ("red", "green", "blue")],
        "scaling": Scaling(scale=0.02),
        "tile_size": 32,
    }
    return ModelCard(**{**settings, **changes})


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """Make a model of a network (pointwise by default) and changes of its card."""

    def make(network: nn.Module | None = None, **changes: Any) -> Model:
        return Model(make_card(**changes), network or Pointwise())  # type: ignore[arg-type]

    return make


@pytest.fixture
def write_scene(tmp_path: Path) -> Callable[..., Path]:
    """Write ``(3, h, w)`` as a GeoTIFF with 10 m pixels."""

    def write(values: NDArray[Any], *, name: str = "scene.tif", **profile: Any) -> Path:
        path = tmp_path / name
        settings = {
            "crs": "EPSG:32631",
            "transform": Affine(10, 0, 600_000, 0, -10, 5_600_000),
            **profile,
        }
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=values.shape[0],
            height=values.shape[1],
            width=values.shape[2],
            dtype=values.dtype,
            **settings,
        ) as dataset:
            dataset.write(values)
        return path

    return write


@pytest.fixture
def patchwork() -> NDArray[np.uint8]:
    """A scene of 97 x 131 pixels in patches of 7 x 7."""
    patches = np.random.default_rng(1).integers(1, 250, (3, 14, 19), dtype=np.uint8)
    return patches.repeat(7, axis=1).repeat(7, axis=2)[:, :97, :131]
