"""Peak memory of whole processes, whose maps differ in number and height only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

FOLDERS = (Path(__file__).parent, *Path(__file__).parents[1:3])
WIDTH = HEIGHT = 1024

MOSAIC = """
import sys
from geoconvlora.inference import mosaic
from peak_memory import peak_memory_mb

outputs = [sys.argv[1] + suffix for suffix in (".tif", ".gpkg")]
mosaic(sys.argv[2:], outputs, res=10)
print(peak_memory_mb())
"""


def peak_memory(folder: Path, count: int) -> float:
    """Of a column of maps, each overlapping the next by an eighth, and warped by half a pixel."""
    paths = []
    patches = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    values = patches.repeat(WIDTH // 8, axis=1).repeat(HEIGHT // 8, axis=2)
    for i in range(count):
        paths.append(folder / f"{count}-{i}.tif")
        with rasterio.open(
            paths[-1],
            "w",
            driver="GTiff",
            count=3,
            height=HEIGHT,
            width=WIDTH,
            dtype="float32",
            compress="deflate",
            crs="EPSG:32631",
            transform=Affine(10, 0, 600_005, 0, -10, 5_600_005 - i * 10 * HEIGHT * 7 // 8),
        ) as dataset:
            dataset.write(values)
    done = subprocess.run(
        [sys.executable, "-c", MOSAIC, folder / f"out{count}", *paths],
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, FOLDERS))},
    )
    return float(done.stdout)


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_maps(tmp_path: Path) -> None:
    few, many = peak_memory(tmp_path, 2), peak_memory(tmp_path, 16)
    assert many < 1.15 * few
