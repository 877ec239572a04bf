"""Memory that wide rasters take, which depends on nothing but their width."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from geoconvlora.vector.instances import InstanceStream
from geoconvlora.weights.card import InstanceRule

POLYGONIZE = """
import sys
from geoconvlora.vector import polygonize
from peak_memory import peak_memory_mb

small, wide = sys.argv[1:3]
polygonize(small, small + ".gpkg", instances=True)
before = peak_memory_mb()
polygonize(wide, wide + ".gpkg", instances=True)
print(peak_memory_mb() - before)
"""


def test_objects_of_wide_rasters_take_few_bytes_a_pixel() -> None:
    width, rows = 10_000, 64
    field = np.full((16, 16), 0.9, np.float32)
    field[0] = field[:, 0] = 0.1
    interior = np.tile(field, (rows // 16, width // 16))
    probabilities = np.stack([np.zeros_like(interior), interior, 1 - interior])
    valid = np.ones((rows, width), np.bool_)
    stream = InstanceStream(width, InstanceRule(interior=1, boundary=2))
    tracemalloc.start()
    try:
        for _ in range(24):
            for _done in stream.feed(probabilities, valid):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Blocks of 512 rows, with as many again around them.
    assert peak / (1024 * width) < 26


@pytest.mark.slow
def test_a_wide_label_raster_takes_little_more_than_a_strip(tmp_path: Path) -> None:
    for size, name in ((64, "small.tif"), (10_240, "wide.tif")):
        with rasterio.open(
            tmp_path / name,
            "w",
            driver="GTiff",
            height=min(size, 2048),
            width=size,
            count=1,
            dtype="int32",
            crs="EPSG:32631",
            transform=Affine(10, 0, 500_000, 0, -10, 5_000_000),
            tiled=True,
            blockxsize=512,
            blockysize=512,
            compress="deflate",
        ) as raster:
            row, column = np.indices((min(size, 2048), size)) // 16
            raster.write((row * 1000 + column + 1).astype(np.int32), 1)
    done = subprocess.run(
        [sys.executable, "-c", POLYGONIZE, tmp_path / "small.tif", tmp_path / "wide.tif"],
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[1:3])),
            "ARROW_DEFAULT_MEMORY_POOL": "system",
        },
    )
    assert float(done.stdout) < 80
