"""Peak memory of whole processes, whose scenes differ in height only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

WIDTH = 512
FOLDERS = (Path(__file__).parent, *Path(__file__).parents[1:3])

PREDICT = """
import sys
import torch
torch.set_num_threads(1)
from known_models import Pointwise, make_card
from geoconvlora.inference import predict
from geoconvlora.weights import Model
from peak_memory import peak_memory_mb

outputs = [sys.argv[2] + suffix for suffix in (".tif", ".gpkg")]
predict(sys.argv[1], outputs, model=Model(make_card(tile_size=256), Pointwise()), device="cpu")
print(peak_memory_mb())
"""


def peak_memory(folder: Path, rows: int) -> float:
    path = folder / f"{rows}.tif"
    patches = np.random.default_rng(0).integers(1, 250, (3, 8, WIDTH // 32), dtype=np.uint8)
    block = patches.repeat(32, axis=1).repeat(32, axis=2)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=3,
        height=rows,
        width=WIDTH,
        dtype="uint8",
        crs="EPSG:32631",
        transform=Affine(10, 0, 600_000, 0, -10, 5_600_000),
    ) as dataset:
        for row in range(0, rows, 256):
            height = min(256, rows - row)
            window = rasterio.windows.Window(0, row, WIDTH, height)
            dataset.write(block[:, :height], window=window)
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, path, folder / f"out{rows}"],
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, FOLDERS))},
    )
    return float(done.stdout)


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_height(tmp_path: Path) -> None:
    short, tall = peak_memory(tmp_path, 2_000), peak_memory(tmp_path, 20_000)
    assert tall < 1.15 * short
