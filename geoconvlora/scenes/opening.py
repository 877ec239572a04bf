"""Opening a raster, or saying in one sentence why it cannot be a scene."""

from __future__ import annotations

import math
import warnings
from contextlib import ExitStack
from pathlib import Path

import rasterio
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from geoconvlora.errors import SceneError
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.remote import gdal_name, is_remote, remote_options
from geoconvlora.scenes.stac import assets_of, is_stac
from geoconvlora.scenes.stack import stacked

#: What GDAL and rasterio raise when a file is not what it should be.
RASTER_FAULTS = (RasterioError, CPLE_BaseError, OSError, MemoryError)

MAX_BANDS = 4096
#: Bytes of one block; GDAL must hold a whole one in memory to read a single pixel of it.
MAX_BLOCK_BYTES = 2**30
#: A TIFF's own index of blocks (8 bytes or more for each) keeps even an empty sparse file above
#: this; a smaller file that claims more than a gigabyte is damaged or hostile.
MAX_CLAIM_PER_BYTE = 1_000_000
_MIN_SUSPICIOUS_BYTES = 2**30


def open_dataset(path: str) -> DatasetReader:
    """Open a raster and check that its pixels can be read within reasonable memory.

    Args:
        path: A file, a URL, any name that GDAL knows, or a STAC item, whose assets become bands.

    Raises:
        SceneError: The file is missing, empty, no raster, or claims what it cannot hold.
    """
    if is_stac(path):
        return _open_item(path)
    _check_file(path)
    return _checked(path, gdal_name(path))


def _open_item(name: str) -> DatasetReader:
    assets = assets_of(name)
    with ExitStack() as stack:
        opened = []
        for asset in assets:
            dataset = open_dataset(asset.path)
            stack.callback(dataset.close)
            opened.append((asset, dataset))
        _, first = opened[0]
        if len(opened) == 1 and (any(first.descriptions) or len(assets[0].bands) != first.count):
            stack.pop_all()
            return first
        with raster_environment():
            vrt = stacked(name, opened)
    return _checked(name, vrt)


def _checked(path: str, name: str) -> DatasetReader:
    """Open what GDAL calls ``name`` and the user ``path``."""
    try:
        with raster_environment(**remote_options(path)), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset: DatasetReader = rasterio.open(name)
    except RASTER_FAULTS as fault:
        if is_remote(path):
            raise SceneError(
                f"{path} cannot be opened: the server does not answer as it should, or it is no "
                f"raster ({reason(fault)})"
            ) from fault
        if Path(path).is_dir():
            raise SceneError(f"{path} is a folder that holds no raster: give a file") from fault
        raise SceneError(
            f"{path} cannot be opened as a raster: it is of another kind, truncated or damaged "
            f"({reason(fault)})"
        ) from fault
    try:
        with raster_environment():
            _check_claims(dataset, path)
    except BaseException:
        dataset.close()
        raise
    return dataset


def georeference(dataset: DatasetReader, path: str) -> GeoBox:
    """Return where the dataset's pixels are.

    Raises:
        SceneError: There is no CRS or no usable geotransform; says how to add it.
    """
    with raster_environment():
        crs, transform = dataset.crs, dataset.transform
        wkt = crs.to_wkt() if crs else ""
        if not wkt:
            raise SceneError(f"{path} has no CRS: {_way_to_georeference(dataset)}")
    if wkt.startswith(("LOCAL_CS", "ENGCRS", "ENGINEERINGCRS")):
        raise SceneError(
            f"{path} lies in a local coordinate system that is not tied to the Earth: "
            "assign its real one, e.g. gdal_edit.py -a_srs EPSG:32631 FILE"
        )
    numbers = tuple(transform)[:6]
    singular = not all(map(math.isfinite, numbers)) or transform.determinant == 0
    if transform.is_identity or singular:
        raise SceneError(
            f"{path} has a CRS but no usable geotransform: {_way_to_georeference(dataset)}"
        )
    try:
        return GeoBox((dataset.height, dataset.width), transform, CRS(wkt))
    except Exception as fault:  # pyproj and odc-geo raise several unrelated types here
        raise SceneError(f"{path} has a CRS that PROJ does not understand: {wkt[:80]}") from fault


def refuse_palette(dataset: DatasetReader, path: str) -> None:
    """Refuse a raster whose values are numbers of colours or classes, where pixels are wanted.

    Raises:
        SceneError: It is one.
    """
    if ColorInterp.palette in dataset.colorinterp and dataset.count == 1 and _has_colormap(dataset):
        raise SceneError(
            f"{path} is a paletted picture, whose values are numbers of colours: expand it first, "
            "e.g. gdal_translate -expand rgb IN OUT"
        )


def reason(fault: BaseException) -> str:
    """Return what GDAL said first, on one line."""
    while fault.__cause__ is not None:
        fault = fault.__cause__
    return " ".join(str(fault).split()) or type(fault).__name__


def _check_file(path: str) -> None:
    file = Path(path)
    if not file.exists():
        if path.startswith("/vsi") or ":" in path[2:]:
            return  # one of GDAL's own names: a remote file, an archive's member, a subdataset
        raise SceneError(f"{path} does not exist")
    if file.is_file() and file.stat().st_size == 0:
        raise SceneError(f"{path} is empty (0 bytes)")


def _check_claims(dataset: DatasetReader, path: str) -> None:
    if dataset.count == 0:
        more = dataset.subdatasets[:1]
        mend = f": name one of its layers, e.g. {more[0]}" if more else ""
        raise SceneError(f"{path} has no raster bands{mend}")
    if dataset.count > MAX_BANDS:
        raise SceneError(
            f"{path} claims {dataset.count} bands, more than {MAX_BANDS}: it seems damaged"
        )
    if any("complex" in dtype for dtype in dataset.dtypes):
        raise SceneError(
            f"{path} holds complex numbers ({dataset.dtypes[0]}): take their amplitudes first, "
            "e.g. gdal_translate DERIVED_SUBDATASET:AMPLITUDE:IN OUT"
        )
    itemsize = max(_itemsize(dtype) for dtype in dataset.dtypes)
    height, width = dataset.block_shapes[0]
    together = dataset.count if _pixel_interleaved(dataset) else 1
    if height * width * itemsize * together > MAX_BLOCK_BYTES:
        raise SceneError(
            f"{path} is stored in blocks of {width} x {height} pixels, too large to read one: "
            "is it damaged? If not, rewrite it with gdal_translate -co TILED=YES IN OUT"
        )
    claimed = dataset.width * dataset.height * dataset.count * itemsize
    file = Path(path)
    if dataset.driver != "GTiff" or claimed < _MIN_SUSPICIOUS_BYTES or not file.is_file():
        return
    size = file.stat().st_size
    if claimed > size * MAX_CLAIM_PER_BYTE:
        raise SceneError(
            f"{path} claims {dataset.width} x {dataset.height} pixels in a file of {size} bytes: "
            "it is truncated or damaged"
        )


def _way_to_georeference(dataset: DatasetReader) -> str:
    points, _ = dataset.gcps
    if points:
        return (
            "it is placed by ground control points only; warp it first, "
            "e.g. gdalwarp -t_srs EPSG:32631 IN OUT"
        )
    if dataset.rpcs is not None:
        return (
            "it is placed by an RPC camera model only; orthorectify it first, "
            "e.g. gdalwarp -rpc -t_srs EPSG:32631 IN OUT"
        )
    if dataset.tags(ns="GEOLOCATION"):
        return (
            "it is placed by geolocation arrays only; warp it first, "
            "e.g. gdalwarp -geoloc -t_srs EPSG:32631 IN OUT"
        )
    return (
        "georeference it first, e.g. gdal_translate -a_srs EPSG:32631 "
        "-a_ullr LEFT TOP RIGHT BOTTOM IN OUT"
    )


def _has_colormap(dataset: DatasetReader) -> bool:
    try:
        return bool(dataset.colormap(1))
    except ValueError:
        return False


def _itemsize(dtype: str) -> int:
    return {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int64": 8, "uint64": 8}.get(
        dtype, 8 if dtype == "float64" else 4
    )


def _pixel_interleaved(dataset: DatasetReader) -> bool:
    return bool(dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL")
