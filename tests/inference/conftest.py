from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from known_models import Pointwise, make_card
from numpy.typing import NDArray
from rasterio.transform import Affine
from torch import nn

from geoconvlora.weights import Model


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
