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


WriteVrt = Callable[..., Path]


@pytest.fixture
def write_vrt(tmp_path: Path) -> WriteVrt:
    """Write a VRT of the first bands of rasters, each band with the mask of another or none."""

    def write(*bands: tuple[Path, Path | None]) -> Path:
        with rasterio.open(bands[0][0]) as first:
            size, transform, crs = (first.width, first.height), first.transform, first.crs
        xml = f'<VRTDataset rasterXSize="{size[0]}" rasterYSize="{size[1]}"><SRS>{crs}</SRS>'
        xml += f"<GeoTransform>{', '.join(map(str, transform.to_gdal()))}</GeoTransform>"
        for number, (path, mask) in enumerate(bands, start=1):
            with rasterio.open(path) as dataset:
                kind, nodata = dataset.dtypes[0], dataset.nodata
            xml += f'<VRTRasterBand dataType="{_GDAL_NAMES[kind]}" band="{number}">'
            xml += "" if nodata is None else f"<NoDataValue>{nodata}</NoDataValue>"
            xml += _source(path, "1")
            if mask is not None:
                inner = f'<VRTRasterBand dataType="Byte">{_source(mask, "mask,1")}</VRTRasterBand>'
                xml += f"<MaskBand>{inner}</MaskBand>"
            xml += "</VRTRasterBand>"
        vrt = tmp_path / "scene.vrt"
        vrt.write_text(f"{xml}</VRTDataset>")
        return vrt

    return write


_GDAL_NAMES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}


def _source(path: Path, band: str) -> str:
    name = f"<SourceFilename>{path}</SourceFilename>"
    return f"<SimpleSource>{name}<SourceBand>{band}</SourceBand></SimpleSource>"
