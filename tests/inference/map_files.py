"""Small maps that tests of mosaics join."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

UTM31 = Affine(10, 0, 600_000, 0, -10, 5_600_000)
CLASSES = [
    {"id": 0, "name": "ground", "color": "#000000"},
    {"id": 1, "name": "crop", "color": "#00ff00"},
    {"id": 2, "name": "road", "color": "#ff0000"},
]


def write_map(
    path: Path,
    values: NDArray[Any],
    *,
    crs: str = "EPSG:32631",
    transform: Affine = UTM31,
    classes: list[dict[str, Any]] | None = CLASSES,
    scale: float | None = None,
    **profile: Any,
) -> Path:
    """Write ``(bands, h, w)``; nodata is NaN or 255 by its type."""
    decimal = values.dtype.kind == "f"
    settings = {"nodata": np.nan if decimal else 255, **profile}
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        **settings,
    ) as dataset:
        dataset.write(values)
        if scale is not None:
            dataset.scales = (scale,) * count
        if classes is not None:
            dataset.update_tags(GEOCONVLORA_CLASSES=json.dumps(classes), GEOCONVLORA_MODEL="m")
    return path


def probabilities(seed: int, shape: tuple[int, int] = (90, 110)) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).random((3, *shape)).astype(np.float32) + 0.05
    return found / found.sum(axis=0)


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        found: NDArray[Any] = dataset.read()
    return found
