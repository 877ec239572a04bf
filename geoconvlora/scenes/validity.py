"""Which pixels hold data."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow


@dataclass(frozen=True)
class Validity:
    """How a dataset tells data from no data.

    A pixel is valid only if all bands read hold data: by their nodata values, by a mask band
    (which supersedes the file's nodata values, as in GDAL), by alpha, and by being finite.
    """

    nodata: tuple[float | None, ...]
    """Of each band read."""
    masked: bool
    """Whether there is a mask band."""
    alpha: tuple[int, ...]
    """Alpha bands; one that is read as data is none."""

    @classmethod
    def of(
        cls,
        dataset: DatasetReader,
        bands: Sequence[int],
        *,
        nodata: float | None,
        default_nodata: float | None,
    ) -> Validity:
        """Return the rule of a file.

        Args:
            dataset: The open file.
            bands: 1-based bands that are read.
            nodata: Stands in for the file's own nodata values.
            default_nodata: The same, where the file declares neither nodata, mask nor alpha.

        Warns:
            UserWarning: No pixel can hold ``nodata``.
        """
        colors = dataset.colorinterp
        alpha = tuple(
            band
            for band, color in enumerate(colors, start=1)
            if color == ColorInterp.alpha and band not in bands
        )
        of_all = dataset.mask_flag_enums
        flags = [of_all[band - 1] for band in bands]
        masked = any(map(has_mask_band, flags))
        own = tuple(
            dataset.nodatavals[band - 1] if MaskFlags.nodata in f else None
            for band, f in zip(bands, flags, strict=True)
        )
        if nodata is not None:
            _warn_if_impossible(nodata, dataset, bands)
            own = (nodata,) * len(own)
        elif not masked and not alpha and all(value is None for value in own):
            own = (default_nodata,) * len(own)
        return cls(own, masked, alpha)

    def read(
        self,
        dataset: DatasetReader,
        bands: Sequence[int],
        window: RasterioWindow,
        stored: NDArray[Any] | Sequence[NDArray[Any]],
    ) -> NDArray[np.bool_]:
        """Return the ``(h, w)`` validity of a window whose ``(C, h, w)`` values were read."""
        valid = self.of_values(stored)
        if self.masked:
            valid &= (dataset.read_masks(list(bands), window=window) > 0).all(axis=0)
        for alpha in self.alpha:
            valid &= dataset.read(alpha, window=window) > 0
        return valid

    def of_values(self, stored: NDArray[Any] | Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
        """Return where ``(C, h, w)`` values are data, as far as they tell themselves."""
        valid = np.ones(stored[0].shape, dtype=np.bool_)
        for band, nodata in zip(stored, self.nodata, strict=True):
            # In the band's own type: a nodata value is written with more digits than pixels have.
            if nodata is not None and (value := _in_type(nodata, band.dtype)) is not None:
                valid &= band != value
        return valid


def has_mask_band(flags: Collection[MaskFlags]) -> bool:
    """Return whether a band of these flags has a mask: the file's, or one of its own (no flag)."""
    return not flags or (MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags)


def _in_type(nodata: float, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return the nodata value as pixels hold it; None where no finite pixel can."""
    if not np.isfinite(nodata):
        return None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if nodata != int(nodata) or not limits.min <= nodata <= limits.max:
            return None
        return np.array(int(nodata), dtype=dtype)
    with np.errstate(over="ignore"):
        return np.array(nodata, dtype=dtype)


def _warn_if_impossible(nodata: float, dataset: DatasetReader, bands: Sequence[int]) -> None:
    dtype = np.dtype(dataset.dtypes[bands[0] - 1])
    if np.isfinite(nodata) and _in_type(nodata, dtype) is None:
        warnings.warn(
            f"{dataset.name}: nodata {nodata:g} cannot occur in {dtype} pixels and masks none",
            UserWarning,
            stacklevel=5,
        )
