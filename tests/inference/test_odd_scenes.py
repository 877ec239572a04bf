"""Real and hostile oddities through ``predict``: what a plain version says, or one clear error.

The plain version reads a scene whole, asks GDAL for its mask, maps tile after tile, and keeps one
weighted sum of the whole map.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from known_models import make_card
from rasterio.enums import ColorInterp
from rasterio.features import rasterize

from geoconvlora.errors import GeoConvLoRAError
from geoconvlora.inference import predict
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights import Model
from geoconvlora.weights.card import Scaling

ROOT = Path(__file__).parents[2]
ODD = Path(os.environ.get("GEOCONVLORA_DATA", ROOT.parent / "shared" / "data")) / "odd"
STEP = 1 / 65535
#: Without a place on the ground (or, one, a palette); all others are mapped.
REFUSED = {
    "byte_rpc.tif",
    "cielab.tif",
    "int64_full_range.tif",
    "minfloat.tif",
    "miniswhite.tif",
    "non_square_pixels.tif",
    "quad-lzw-old-style.tif",
    "rasterio_float_nan.tif",
    "rasterio_rotated.tif",
    "rgbsmall_cmyk.tif",
    "riotiler_cog_cmap.tif",
    "riotiler_cog_gcps_ovr.tif",
    "sstgeo.tif",
    "stats_nodata_neginf.tif",
    "stefan_full_rgba.tif",
    "test3_with_mask_1bit_and_ovr.tif",
    "twoimages.tif",
}
#: Above this a file is left to the slow cases.
MANY_PIXELS = 170_000

pytestmark = pytest.mark.skipif(
    not ODD.is_dir(), reason="no folder of odd rasters: set GEOCONVLORA_DATA"
)


def files(*folders: str) -> list[Path]:
    inside = [path for folder in folders for path in sorted((ODD / folder).glob("*.tif*"))]
    return [path for path in inside if path.suffix in {".tif", ".tiff"}]


def by_size(path: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as dataset:
            slow = dataset.width * dataset.height > MANY_PIXELS
    return pytest.param(path, id=path.name, marks=[pytest.mark.slow] if slow else [])


def contradicted(path: Path) -> bool:
    """Whether GDAL found the side file that says something else than the TIFF, plain UTM."""
    if path.name != "byte_inconsistent_georef.tif":
        return False
    with rasterio.open(path) as dataset:
        return not dataset.transform.is_rectilinear


def three_bands(path: Path) -> tuple[int, ...]:
    with rasterio.open(path) as dataset:
        colors = dataset.colorinterp
        bands = [i for i in dataset.indexes if colors[i - 1] != ColorInterp.alpha]
    return tuple((bands * 3)[:3])


def plain_read(path: Path, bands: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(path) as dataset:
        stored = dataset.read(bands)
        valid = (dataset.read_masks(bands) > 0).all(axis=0)
    with np.errstate(over="ignore"):
        values = stored.astype(np.float32)
    if stored.dtype.kind == "f":
        valid &= np.isfinite(values).all(axis=0)
    return values * valid if valid.all() else np.where(valid, values, np.float32(0)), valid


def plain_map(network: torch.nn.Module, seen: np.ndarray, tile: int, overlap: int) -> np.ndarray:
    height, width = seen.shape[1:]
    step = tile - overlap
    tops, lefts = (
        sorted({min(start, max(0, size - tile)) for start in range(0, size, step)})
        for size in (height, width)
    )
    inset = np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 0.5
    side = np.sin(np.pi / 2 * np.minimum(inset / overlap, 1)) ** 2
    window = np.outer(side, side)
    total, weight = np.zeros((3, height, width)), np.zeros((height, width))
    for top in tops:
        for left in lefts:
            part = seen[:, top : top + tile, left : left + tile]
            rows, columns = part.shape[1:]
            room = (0, 0), (0, tile - rows), (0, tile - columns)
            image = torch.from_numpy(np.pad(part, room, mode="symmetric"))
            with torch.inference_mode():
                found = torch.softmax(network(image[None]).double(), dim=1)[0].numpy()
            place = np.s_[top : top + rows, left : left + columns]
            total[:, *place] += found[:, :rows, :columns] * window[:rows, :columns]
            weight[place] += window[:rows, :columns]
    return total / weight


@pytest.mark.filterwarnings("ignore:.*has no valid pixel:UserWarning")
@pytest.mark.filterwarnings("ignore:.*does not show the Earth:UserWarning")
@pytest.mark.parametrize("path", [by_size(path) for path in files("real", "special")])
def test_odd_scene_is_mapped_as_by_a_plain_version_or_refused(path, tmp_path) -> None:
    bands = (1, 2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a place on the ground, which predict refuses
        bands = three_bands(path)
        values, valid = plain_read(path, bands)
    spread = float(values[:, valid].std(dtype=np.float64)) if valid.any() else 1.0
    scale = 1 / spread if spread > 0 else 1.0
    tile = 256 if values[0].size > MANY_PIXELS else 64
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 3, 5, padding=2)
    model = Model(make_card(scaling=Scaling(scale=scale)), network)  # type: ignore[arg-type]
    probs, classes, polygons = tmp_path / "p.tif", tmp_path / "c.tif", tmp_path / "c.gpkg"
    # A large picture's map by a random network is a million polygons.
    outlined = values[0].size <= MANY_PIXELS
    run = partial(
        predict,
        path,
        [classes, polygons] if outlined else classes,
        probs=probs,
        model=model,
        bands=bands,
        tile_size=tile,
        overlap=16,
        polygons=PolygonOptions(simplify_px=0),
    )
    if path.name in REFUSED or contradicted(path):
        with pytest.raises(GeoConvLoRAError, match=re.escape(str(path))):
            run()
        assert list(tmp_path.iterdir()) == []
        return
    run()
    expected = plain_map(network, values * np.float32(scale), tile, 16)
    with rasterio.open(path) as scene, rasterio.open(probs) as dataset:
        found = dataset.read()
        assert (dataset.crs, dataset.transform) == (scene.crs, scene.transform)
    with rasterio.open(classes) as dataset:
        ids, seen, nodata = dataset.read(1), dataset.read_masks(1) > 0, dataset.nodata
    np.testing.assert_array_equal(seen, valid)
    np.testing.assert_allclose(found[:, valid], expected[:, valid], atol=4 * STEP)
    clear = valid & (np.diff(np.sort(expected, axis=0)[1:], axis=0)[0] > 8 * STEP)
    np.testing.assert_array_equal(ids[clear], expected.argmax(axis=0)[clear])
    if not outlined:
        return
    outlines = gpd.read_file(polygons)
    drawn = np.full_like(ids, nodata)
    if len(outlines):
        shapes = zip(outlines.geometry, outlines["class_id"], strict=True)
        with rasterio.open(classes) as dataset:
            rasterize(shapes, out=drawn, transform=dataset.transform)
    np.testing.assert_array_equal(drawn, ids)


PREDICT_EACH = """
import resource, sys, tempfile, warnings
from pathlib import Path
from test_odd_scenes import GeoConvLoRAError, Model, Scaling, make_card, predict, three_bands
import torch

model = Model(make_card(scaling=Scaling(scale=0.02)), torch.nn.Conv2d(3, 3, 5, padding=2))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), used + (2 << 30)))
warnings.simplefilter("error")
for path in sys.argv[1:]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            predict(path, Path(folder) / "c.tif", model=model, bands=(1, 1, 1))
        except GeoConvLoRAError as error:
            assert path in str(error) and "\\n" not in str(error), error
            assert list(Path(folder).iterdir()) == []
            print("refused", Path(path).name, flush=True)
        else:
            print("mapped", Path(path).name, flush=True)
"""


def test_hostile_scenes_are_each_one_error_in_little_memory() -> None:
    hostile = files("hostile")
    done = subprocess.run(
        [sys.executable, "-c", PREDICT_EACH, *map(str, hostile)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(ROOT)]),
        },
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [word for path in hostile for word in ("refused", path.name)]
