"""An array in memory, or one that is computed when it is asked for, as a scene."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.errors import SceneError
from geoconvlora.scenes.bands import BandLabel, choose_bands
from geoconvlora.scenes.ground import ground_sampling_distance
from geoconvlora.scenes.pixels import Window
from geoconvlora.scenes.scene import Scene
from geoconvlora.scenes.validity import Validity

if TYPE_CHECKING:
    import xarray


class ArrayScene(Scene):
    """A :class:`Scene` whose pixels are an xarray array's.

    A lazy array is computed by windows, each in the thread that reads it.
    """

    def __init__(
        self,
        array: xarray.DataArray,
        *,
        wanted: Sequence[str] | None,
        bands: Sequence[int] | None = None,
        nodata: float | None = None,
        default_nodata: float | None = None,
    ) -> None:
        """Find the array's place and bands.

        Args:
            array: Two spatial dimensions with a CRS, and at most one more, of bands. Bands are
                named by text coordinates or by the attribute ``long_name``, as rioxarray does it.
            wanted: The model's band names in order; None takes all.
            bands: 1-based bands to read instead.
            nodata: Value that means 'no data', instead of the array's own.
            default_nodata: The same, where the array declares none; NaN is never data.

        Raises:
            SceneError: It has no place, or other dimensions.
            BandError: The bands do not fit.
        """
        self.path = str(array.name or "array")
        self.name = self.path
        self.geobox = _place(array, self.path)
        self.gsd_m = ground_sampling_distance(self.geobox)
        self._array = _bands_first(array, self.path)
        self.dtype = str(self._array.dtype)
        self.labels = _labels(self._array)
        self.bands = choose_bands(self.labels, wanted, bands, self.path)
        self.band_names = tuple(self.labels[band - 1].name for band in self.bands)
        own = array.odc.nodata
        value = nodata if nodata is not None else own if own is not None else default_nodata
        self._validity = Validity((value,) * len(self.bands), masked=False, alpha=())
        self.nodata = value
        self._block_rows = 1
        self._dataset = None
        self._lock = threading.Lock()

    def _read_inside(self, inside: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        part = self._array[
            [band - 1 for band in self.bands],
            inside.row : inside.row + inside.height,
            inside.column : inside.column + inside.width,
        ]
        data = part.data
        if hasattr(data, "compute"):
            # Within a task of a scheduler there must not be another scheduler.
            data = data.compute(scheduler="synchronous")
        raw = np.array(data)
        return raw, self._validity.of_values(raw)


def _place(array: xarray.DataArray, name: str) -> GeoBox:
    import odc.geo.xr  # noqa: F401  (gives arrays their place)

    with warnings.catch_warnings():
        # What it warns of is refused below.
        warnings.simplefilter("ignore", UserWarning)
        geobox = array.odc.geobox
    if not isinstance(geobox, GeoBox):
        raise SceneError(
            f"{name} has no regular coordinates along two spatial dimensions such as y and x: give "
            "an array as rioxarray.open_rasterio or odc.stac.load makes it"
        )
    if geobox.crs is None:
        raise SceneError(f"{name} has no CRS: give it one, e.g. array.rio.write_crs('EPSG:32631')")
    return geobox


def _bands_first(array: xarray.DataArray, name: str) -> xarray.DataArray:
    kind = array.dtype.kind
    if kind not in "iufb":
        raise SceneError(f"{name} holds {array.dtype}: give an array of real numbers")
    if kind == "b":
        array = array.astype("uint8")
    spatial = array.odc.spatial_dims
    others = [dim for dim in array.dims if dim not in spatial]
    if len(others) > 1:
        raise SceneError(
            f"{name} has the dimensions {', '.join(map(str, array.dims))}: choose one place along "
            "all but the bands and the two in space, e.g. array.isel(time=0)"
        )
    if not others:
        array, others = array.expand_dims("band"), ["band"]
    return array.transpose(*others, *spatial)


def _labels(array: xarray.DataArray) -> tuple[BandLabel, ...]:
    dim = array.dims[0]
    names: Sequence[Any] = [""] * array.shape[0]
    if dim in array.coords and array.coords[dim].dtype.kind in "UO":
        names = array.coords[dim].values.tolist()
    else:
        told = array.attrs.get("long_name", ())
        told = (told,) if isinstance(told, str) else told
        if len(told) == array.shape[0]:
            names = told
    return tuple(
        BandLabel(index, str(name or ""), "undefined", str(array.dtype))
        for index, name in enumerate(names, start=1)
    )
