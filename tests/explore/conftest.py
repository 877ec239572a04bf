from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geoconvlora.scenes.class_names import CLASSES_TAG

NAMES = {0: "background", 1: "field", 2: "tall forest"}
COLOURS = {0: "#bdbdbd", 1: "#7fbf3f", 2: "#005500"}
UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)

WriteRaster = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    """Figures are drawn in memory, and closed."""
    matplotlib.use("Agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    """Write ``(bands, H, W)`` or ``(H, W)`` as a GeoTIFF in the test's folder."""

    def write(
        name: str,
        values: NDArray[Any],
        *,
        transform: Affine = UTM,
        crs: str = "EPSG:32631",
        nodata: float | None = None,
        names: dict[int, str] | None = None,
        bands: tuple[str, ...] = (),
        overviews: bool = False,
        **more: Any,
    ) -> Path:
        values = values[None] if values.ndim == 2 else values
        count, height, width = values.shape
        path = tmp_path / name
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width,
            dtype=values.dtype, crs=crs, transform=transform, nodata=nodata, tiled=True,
            blockxsize=16, blockysize=16, **more,
        ) as out:  # fmt: skip
            out.write(values)
            if bands:
                out.descriptions = bands
            if names is not None:
                entries = [{"id": i, "name": n, "color": COLOURS[i]} for i, n in names.items()]
                out.update_tags(**{CLASSES_TAG: json.dumps(entries)})
        if overviews:
            with rasterio.open(path, "r+") as out:
                out.build_overviews([2, 4], rasterio.enums.Resampling.average)
        return path

    return write


@pytest.fixture
def class_file(write_raster: WriteRaster) -> Path:
    """40 x 60 pixels of three classes and a corner without data."""
    ids = np.zeros((40, 60), np.uint8)
    ids[:, 20:] = 1
    ids[30:, 40:] = 2
    ids[:5, :5] = 255
    return write_raster("classes.tif", ids, nodata=255, names=NAMES)


@pytest.fixture
def scene_file(write_raster: WriteRaster) -> Path:
    """40 x 60 pixels of four bands, 0 is no data in a corner."""
    rng = np.random.default_rng(0)
    values = rng.integers(1, 4000, (4, 40, 60)).astype(np.uint16)
    values[:, :5, :5] = 0
    return write_raster("scene.tif", values, nodata=0, bands=("red", "green", "blue", "nir"))
