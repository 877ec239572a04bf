"""Small files that the command line's tests give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine
from safetensors.numpy import save_file

from geoconvlora.weights.card import Band, BaseWeights, ClassInfo, ModelCard, Scaling

ROOT = Path(__file__).parents[2]


def make_card(**changes: Any) -> ModelCard:
    settings: dict[str, Any] = {
        "name": "test",
        "task": "classes",
        "base": BaseWeights(name="none", size="vit_t"),
        "method": "full",
        "classes": [
            ClassInfo(id=0, name="ground", color="#000000"),
            ClassInfo(id=1, name="crop", color="#00ff00"),
        ],
        "bands": [Band(name=name, mean=0.5, std=0.25) for name in ("red", "green", "blue")],
        "scaling": Scaling(kind="percentile"),
        "tile_size": 64,
    }
    return ModelCard(**{**settings, **changes})


def write_card(path: Path, **changes: Any) -> Path:
    """Write a model file that holds nothing but its card: enough for whatever is refused."""
    text = make_card(**changes).model_dump_json()
    save_file({"nothing": np.zeros(1, np.float32)}, path, metadata={"geoconvlora": text})
    return path


def write_scene(path: Path, *, bands: int = 3, crs: str | None = "EPSG:32631") -> Path:
    values = np.random.default_rng(0).integers(1, 250, (bands, 80, 100), dtype=np.uint8)
    values[:, :20, :50] = 0
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=80,
        width=100,
        dtype="uint8",
        crs=crs,
        nodata=0,
        transform=Affine(10, 0, 600_000, 0, -10, 5_600_000),
    ) as dataset:
        dataset.write(values)
    return path
