"""A tiny comparison that the tests of this folder make for themselves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
import yaml

from geoconvlora.sam import build_segmenter
from geoconvlora.weights import save_base

TIMINGS = {"step_s", "inference_s_per_mpx", "train_s"}


def write_tiles(folder: Path, count: int = 10, seed: int = 0) -> Path:
    """Tiles of 64 x 64 pixels whose bright part, of any width, is class 1."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        mask = np.zeros((1, 64, 64), np.uint8)
        mask[:, :, : int(rng.integers(16, 48))] = 1
        image = rng.integers(0, 60, (3, 64, 64)) + 120 * mask
        for name, values in (("images", image.astype(np.uint8)), ("labels", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            with rasterio.open(
                folder / name / f"{index:02}.tif",
                "w",
                driver="GTiff",
                height=64,
                width=64,
                count=len(values),
                dtype="uint8",
                crs="EPSG:32631",
                transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_600_000),
            ) as raster:
                raster.write(values)
    return folder


def write_base(path: Path) -> Path:
    torch.manual_seed(0)
    return save_base(path, build_segmenter("vit_t", classes=2))


def tree(folder: Path, **changes: Any) -> dict[str, Any]:
    """A comparison of two methods, two seeds, two epochs on the folder's tiles."""
    return {
        "train": {
            "model": {"base": str(folder / "base.safetensors"), "decoder": {"head": "direct"}},
            "classes": [
                {"id": 0, "name": "other", "color": "#000000"},
                {"id": 1, "name": "field", "color": "#00ff00"},
            ],
            "tile_size": 64,
            "data": {
                "kind": "tiles",
                "images": str(folder / "images"),
                "labels": str(folder / "labels"),
            },
            "split": {"fraction": 0.25, "seed": 1},
            "optim": {"epochs": 2, "batch_size": 3, "lr": 3e-3},
            "num_workers": 0,
            "device": "cpu",
        },
        "methods": [
            {"method": "decoder-only"},
            {"name": "conv-lora-r2", "method": "conv-lora", "settings": {"rank": 2, "experts": 2}},
        ],
        "seeds": [0, 1],
        "test": {"fraction": 0.2},
        **changes,
    }


def write_config(folder: Path, **changes: Any) -> Path:
    path = folder / "compare.yaml"
    path.write_text(yaml.safe_dump(tree(folder, **changes)))
    return path


def scores(table: Path) -> list[dict[str, str]]:
    """Lines of a table without what the machine's mood decides."""
    with table.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMINGS} for row in csv.DictReader(file)]
