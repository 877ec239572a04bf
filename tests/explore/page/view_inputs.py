from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

PLACE = Affine(10, 0, 500_000, 0, -10, 5_600_000)
HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>"


def write_raster(path: Path, values: np.ndarray, **changes: Any) -> Path:
    """Write bands ``(C, h, w)``; ``tags``, ``descriptions`` and ``colors`` besides rasterio's."""
    tags, names = changes.pop("tags", {}), changes.pop("descriptions", ())
    colors = changes.pop("colors", None)
    profile = {"crs": "EPSG:32631", "transform": PLACE, **changes}
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width,
        dtype=str(values.dtype), **profile,
    ) as target:  # fmt: skip
        target.write(values)
        target.update_tags(**tags)
        for band, name in enumerate(names, start=1):
            target.set_band_description(band, name)
        if colors is not None:
            target.write_colormap(1, colors)
    return path
