from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

WriteRaster = Callable[..., Path]


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    """Write ``(bands, h, w)`` as a GeoTIFF and return its path."""

    def write(
        values: NDArray[Any],
        *,
        name: str = "scene.tif",
        mask: NDArray[np.bool_] | None = None,
        colors: tuple[str, ...] | None = None,
        descriptions: tuple[str, ...] = (),
        gdal_masks_inside: bool = True,
        **profile: Any,
    ) -> Path:
        path = tmp_path / name
        settings = {
            "crs": "EPSG:32631",
            "transform": Affine(10, 0, 600_000, 0, -10, 5_600_000),
            "photometric": "minisblack",
            **profile,
        }
        count, height, width = values.shape
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=gdal_masks_inside),
            rasterio.open(
                path,
                "w",
                driver="GTiff",
                count=count,
                height=height,
                width=width,
                dtype=values.dtype,
                **settings,
            ) as dataset,
        ):
            if colors:
                dataset.colorinterp = [ColorInterp[color] for color in colors]
            for band, description in enumerate(descriptions, start=1):
                dataset.set_band_description(band, description)
            dataset.write(values)
            if mask is not None:
                dataset.write_mask(mask)
        return path

    return write
