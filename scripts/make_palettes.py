"""Make ``geoconvlora/synthetic/palettes.json`` from real scenes.

Each scene is scaled by its 2nd and 98th percentiles, cut into superpixels, and the superpixels'
mean colours are grouped by k-means: what remains of a scene is two dozen colours, how common each
is and how much pixels differ within a superpixel. No pixel and no place is kept.

    python scripts/make_palettes.py FOLDER

``FOLDER`` holds the sets named in SCENES below.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy.cluster.vq import kmeans2
from skimage.segmentation import slic

CLASSES = 24
LARGEST = 450
"""Side in pixels of the middle part that is used of a scene."""
PIXELS_A_SUPERPIXEL = 45
COPERNICUS = "Copernicus Sentinel data, free and open with attribution"
RGB = ("red", "green", "blue")
RGBN = (*RGB, "nir")

SCENES = (
    # name, files (one, or one a band), 1-based bands, band names,
    # window (column, row, width, height), licence
    ("germany-s2-a", "unlabelled_scenes/germany_S2_10m_1v.tif", (1, 2, 3), RGB, None, COPERNICUS),
    ("germany-s2-b", "unlabelled_scenes/germany_S2_10m_3v.tif", (1, 2, 3), RGB, None, COPERNICUS),
    ("cambodia-s2", "unlabelled_scenes/cambodia_s2_12.tif", (3, 2, 1), RGB, None, COPERNICUS),
    ("luxembourg-s2", "unlabelled_scenes/luxembourg_s2_float_reflectance.tif", (3, 2, 1, 4), RGBN,
     None, COPERNICUS),
    ("brazil-landsat7", "unlabelled_scenes/brazil_landsat7_L7_ETMs.tif", (3, 2, 1, 4), RGBN, None,
     "Landsat, public domain"),
    ("dakota-naip-2014", "unlabelled_scenes/naip_m_4709963_se_14_1_20140720.tif", (1, 2, 3, 4),
     RGBN, None, "NAIP, public domain"),
    ("dakota-naip-2016", "unlabelled_scenes/naip_m_4709963_se_14_1_20160816.tif", (1, 2, 3, 4),
     RGBN, None, "NAIP, public domain"),
    ("dakota-naip-2019", "unlabelled_scenes/naip_m_4709963_se_14_1_20190904.tif", (1, 2, 3, 4),
     RGBN, None, "NAIP, public domain"),
    ("nebraska-landsat5", "field_nebraska_landsat5/nebraska_landsat5.tif", (1, 2, 3), RGB, None,
     "Landsat, public domain"),
    ("ukraine-s2-1", "field_pseudo_ukraine_s2/s2_rgb_part_1.tif", (1, 2, 3), RGB, None, COPERNICUS),
    ("ukraine-s2-2", "field_pseudo_ukraine_s2/s2_rgb_part_2.tif", (1, 2, 3), RGB, None, COPERNICUS),
    ("carolina-s2", tuple(f"landcover_nc_coast_s2/2018-10-13_S2B_L1C_B{b}.tif"
                          for b in ("04", "03", "02", "08")), (1,), RGBN, (700, 300, 900, 900),
     "patrickcgray/open-geo-tutorial, CC BY-SA 4.0; " + COPERNICUS),
    ("sen12ms-fall", "landcover_sen12ms_s2/ROIs1970_fall_s2_4_p30.tif", (4, 3, 2, 8), RGBN, None,
     "SEN12MS, CC BY 4.0"),
    ("sen12ms-winter", "landcover_sen12ms_s2/ROIs2017_winter_s2_27_p36.tif", (4, 3, 2, 8), RGBN,
     None, "SEN12MS, CC BY 4.0"),
)  # fmt: skip


def read(
    folder: Path,
    files: str | tuple[str, ...],
    bands: tuple[int, ...],
    window: tuple[int, int, int, int] | None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Bands (B, H, W) and where all of them are valid (H, W)."""
    layers = []
    valid: NDArray[np.bool_] | None = None
    for file in (files,) if isinstance(files, str) else files:
        with rasterio.open(folder / file) as scene:
            place = Window(*window) if window else None
            values = scene.read(list(bands), window=place).astype(np.float64)
            nodata = 0 if scene.nodata is None else scene.nodata
        good = np.isfinite(values).all(axis=0) & (values != nodata).any(axis=0)
        valid = good if valid is None else valid & good
        layers.append(values)
    assert valid is not None
    return np.concatenate(layers), valid


def trimmed(
    values: NDArray[np.float64], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Without the rows and columns at the edges that have no valid pixel."""
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return values[(slice(None), *part)], valid[part]


def palette(values: NDArray[np.float64], valid: NDArray[np.bool_]) -> dict[str, object]:
    """Colours of the superpixels of one scene, most common first."""
    values, valid = trimmed(values, valid)
    row, column = (max(0, (side - LARGEST) // 2) for side in valid.shape)
    valid = valid[row : row + LARGEST, column : column + LARGEST]
    values = values[:, row : row + LARGEST, column : column + LARGEST]
    low, high = (np.percentile(values[:, valid], q, axis=1)[:, None, None] for q in (2, 98))
    scaled = np.clip(np.where(valid, (values - low) / (high - low), 0), -0.1, 1.5)
    segments = slic(
        np.moveaxis(scaled, 0, -1), n_segments=valid.size // PIXELS_A_SUPERPIXEL, compactness=0.12,
        channel_axis=-1, start_label=0, max_num_iter=5,
    )  # fmt: skip
    inside = segments[valid]
    count = np.bincount(inside)
    used = count > 4
    pixels = scaled[:, valid]
    mean = np.stack([np.bincount(inside, band) for band in pixels], 1)[used] / count[used, None]
    square = np.stack([np.bincount(inside, band**2) for band in pixels], 1)[used]
    spread = np.sqrt(np.maximum(square / count[used, None] - mean**2, 0))
    centres, nearest = kmeans2(mean, CLASSES, minit="++", seed=np.random.default_rng(1))
    share = np.bincount(nearest, weights=count[used], minlength=CLASSES) / count[used].sum()
    inner = [spread[nearest == k].mean() if (nearest == k).any() else 0.0 for k in range(CLASSES)]
    order = [k for k in np.argsort(-share) if share[k] > 0]
    return {
        "colours": [np.round(centres[k], 3).tolist() for k in order],
        "share": [round(float(share[k]), 4) for k in order],
        "texture": [round(float(inner[k]), 3) for k in order],
    }


def main(folder: Path) -> None:
    """Write the palettes of all scenes."""
    entries = []
    for name, files, bands, names, window, licence in SCENES:
        found = palette(*read(folder, files, bands, window))
        source = files if isinstance(files, str) else ", ".join(files)
        entries.append(
            {"name": name, "source": source, "licence": licence, "bands": list(names), **found}
        )
        print(name, len(found["colours"]), flush=True)  # type: ignore[arg-type]
    about = (
        "Mean colours of groups of superpixels; each band scaled so that its scene's 2nd and 98th "
        "percentiles are 0 and 1. Made by scripts/make_palettes.py."
    )
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    target = Path("geoconvlora/synthetic/palettes.json")
    target.write_text(f'{{"about": {json.dumps(about)}, "palettes": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
