"""Several rasters of one place as bands of one, described in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geoconvlora.errors import SceneError
from geoconvlora.scenes.stac import Asset
from geoconvlora.scenes.validity import has_mask_band

#: What GDAL calls the types that numpy names.
GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float16": "Float16",
    "float32": "Float32",
    "float64": "Float64",
}
#: Pixels of the coarser raster by which two may differ in place and still be one scene.
_SLACK_PX = 1.0


@dataclass(frozen=True)
class _Layer:
    asset: Asset
    dataset: DatasetReader

    @property
    def pixel(self) -> float:
        return float(max(abs(self.dataset.transform.a), abs(self.dataset.transform.e)))


def stacked(name: str, opened: Sequence[tuple[Asset, DatasetReader]]) -> str:
    """Return a VRT, as GDAL reads it from its name, with the bands of some rasters.

    The grid is that of the finest; pixels of coarser ones are repeated.

    Args:
        name: Of the whole, for messages.
        opened: Rasters and what is known of their bands.

    Raises:
        SceneError: They do not lie in the same place.

    Warns:
        UserWarning: One does not, and is left out.
    """
    layers = [_Layer(*each) for each in opened]
    finest = min(layers, key=lambda layer: (layer.pixel, -layer.dataset.width, layer.asset.key))
    kept = [layer for layer in layers if _together(finest.dataset, layer.dataset)]
    for layer in layers:
        if layer not in kept:
            warnings.warn(
                f"{name}: the asset {layer.asset.key!r} lies elsewhere than "
                f"{finest.asset.key!r} and is left out",
                UserWarning,
                stacklevel=4,
            )
    whole = finest.dataset
    if not whole.crs:
        raise SceneError(f"{name}: the asset {finest.asset.key!r} has no CRS")
    root = ElementTree.Element(
        "VRTDataset", rasterXSize=str(whole.width), rasterYSize=str(whole.height)
    )
    ElementTree.SubElement(root, "SRS").text = whole.crs.to_wkt()
    numbers = ", ".join(repr(float(number)) for number in whole.transform.to_gdal())
    ElementTree.SubElement(root, "GeoTransform").text = numbers
    count = 0
    for layer in kept:
        for index in layer.dataset.indexes:
            count += 1
            _add_band(root, count, layer, index, whole)
    return ElementTree.tostring(root, encoding="unicode")


def _add_band(
    root: ElementTree.Element, number: int, layer: _Layer, index: int, whole: DatasetReader
) -> None:
    dataset = layer.dataset
    kind = GDAL_TYPES[dataset.dtypes[index - 1]]
    band = ElementTree.SubElement(root, "VRTRasterBand", dataType=kind, band=str(number))
    names = layer.asset.bands
    told = names[index - 1] if len(names) == dataset.count else dataset.descriptions[index - 1]
    ElementTree.SubElement(band, "Description").text = told or layer.asset.key
    if (nodata := dataset.nodatavals[index - 1]) is not None:
        ElementTree.SubElement(band, "NoDataValue").text = repr(float(nodata))
    if dataset.colorinterp[index - 1] == ColorInterp.alpha:
        ElementTree.SubElement(band, "ColorInterp").text = "Alpha"
    _add_source(band, dataset, str(index), whole)
    if has_mask_band(dataset.mask_flag_enums[index - 1]):
        around = ElementTree.SubElement(band, "MaskBand")
        mask = ElementTree.SubElement(around, "VRTRasterBand", dataType="Byte")
        _add_source(mask, dataset, f"mask,{index}", whole)


def _add_source(
    band: ElementTree.Element, dataset: DatasetReader, source_band: str, whole: DatasetReader
) -> None:
    """Let a band of the VRT be one of a raster: ``2``, or ``mask,2`` for its mask."""
    source = ElementTree.SubElement(band, "SimpleSource")
    filename = ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0")
    filename.text = dataset.name
    ElementTree.SubElement(source, "SourceBand").text = source_band
    _add_rectangle(source, "SrcRect", dataset)
    _add_rectangle(source, "DstRect", whole)


def _add_rectangle(source: ElementTree.Element, name: str, dataset: DatasetReader) -> None:
    sides = {"xSize": str(dataset.width), "ySize": str(dataset.height)}
    ElementTree.SubElement(source, name, {"xOff": "0", "yOff": "0", **sides})


def _together(one: DatasetReader, other: DatasetReader) -> bool:
    if one.crs != other.crs:
        return False
    slack = _SLACK_PX * max(map(abs, (other.transform.a, other.transform.e)))
    return all(abs(a - b) <= slack for a, b in zip(one.bounds, other.bounds, strict=True))
