from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_files import CLASSES, write_raster


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Eight 64 x 64 tiles side by side whose bright half is the field."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(8):
        mask = np.zeros((64, 64), dtype=np.uint8)
        mask[:, : int(rng.integers(16, 48))] = 1
        image = rng.integers(0, 60, (3, 64, 64)) + 150 * mask
        left = 500_000 + 640 * index
        write_raster(tmp_path / "images" / f"{index}.tif", image.astype(np.uint8), left=left)
        write_raster(tmp_path / "labels" / f"{index}.tif", mask[None], left=left)
    return tmp_path


@pytest.fixture
def tiles_config(tiles: Path) -> Callable[..., dict[str, Any]]:
    """A run of two short epochs on the tiles; dotted keywords change it."""

    def build(out: str, **changes: Any) -> dict[str, Any]:
        return {
            "model.size": "vit_t",
            "model.method": "full",
            "classes": CLASSES,
            "bands": [{"name": n} for n in ("red", "green", "blue")],
            "tile_size": 64,
            "data": {"kind": "tiles", "images": tiles / "images", "labels": tiles / "labels"},
            "split": {
                "fraction": 0.25,
                "test_fraction": 0,
                "block_size_m": 640,
                "buffer_m": 0,
            },
            "optim.epochs": 2,
            "optim.batch_size": 3,
            "num_workers": 0,
            "device": "cpu",
            "out": tiles / f"{out}.safetensors",
            **changes,
        }

    return build
