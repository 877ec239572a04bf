from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from geoconvlora.errors import OutputError
from geoconvlora.inference.rasters import (
    ClassRaster,
    ProbabilityRaster,
    SpreadRaster,
    most_probable,
)
from geoconvlora.inference.rows import MapRows
from geoconvlora.naming import MAX_NAME_BYTES
from geoconvlora.scenes.origin import Origin
from geoconvlora.weights.card import ClassInfo

BOX = GeoBox((50, 700), Affine(10, 0, 600_000, 0, -10, 5_600_000), "EPSG:32631")
CLASSES = [ClassInfo(id=0, name="a", color="#102030"), ClassInfo(id=1, name="b", color="#ffeedd")]
ORIGIN = Origin("s", model="m")
RNG = np.random.default_rng(4)
PROBABILITIES = RNG.random((2, 50, 700)).astype(np.float32)
VALID = RNG.random((50, 700)) < 0.8


def feed(raster, heights=(20, 7, 23)) -> None:
    row = 0
    for height in heights:
        rows = slice(row, row + height)
        raster.feed(MapRows(row, PROBABILITIES[:, rows], VALID[rows]))
        row += height


def test_class_raster_is_a_cog_with_colours_nodata_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    with ClassRaster(path, BOX, CLASSES, origin=ORIGIN) as raster:
        feed(raster)
        raster.finish()
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]
    with rasterio.open(path) as dataset:
        found = dataset.read(1)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (dataset.dtypes, dataset.nodata) == (("uint8",), 255)
        assert dataset.overviews(1) == [2]
        colors = dataset.colormap(1)
        assert (colors[0], colors[1]) == ((16, 32, 48, 255), (255, 238, 221, 255))
        assert json.loads(dataset.tags()["GEOCONVLORA_CLASSES"])[1] == {
            "id": 1,
            "name": "b",
            "color": "#ffeedd",
        }
        assert dataset.tags()["GEOCONVLORA_MODEL"] == "m"
        assert dataset.crs.to_epsg() == 32631
        assert dataset.transform.almost_equals(BOX.affine)
    np.testing.assert_array_equal(found, np.where(VALID, PROBABILITIES.argmax(axis=0), 255))


def test_probability_raster_is_exact_and_nan_where_invalid(tmp_path: Path) -> None:
    path = tmp_path / "probs.tif"
    with ProbabilityRaster(path, BOX, CLASSES, origin=ORIGIN) as raster:
        feed(raster)
        raster.finish()
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("a", "b")
        assert np.isnan(dataset.nodata)
        np.testing.assert_array_equal(dataset.read(), np.where(VALID, PROBABILITIES, np.nan))


def test_probabilities_as_bytes_have_their_scale_in_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "probs.tif"
    with ProbabilityRaster(path, BOX, CLASSES, origin=ORIGIN, dtype="uint8") as raster:
        feed(raster)
        raster.finish()
    with rasterio.open(path) as dataset:
        assert dataset.scales == (0.004, 0.004)
        stored = dataset.read(masked=True)
    np.testing.assert_array_equal(~stored.mask, np.broadcast_to(VALID, stored.shape))
    np.testing.assert_allclose(
        stored.filled(0) * 0.004, np.where(VALID, PROBABILITIES, 0), atol=0.00201
    )


def test_spread_is_stored_as_probabilities_are(tmp_path: Path) -> None:
    path = tmp_path / "spread.tif"
    with SpreadRaster(path, BOX, CLASSES, origin=ORIGIN) as raster:
        raster.feed(MapRows(0, PROBABILITIES, VALID, PROBABILITIES[0]))
        raster.finish()
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("uncertainty",)
        np.testing.assert_array_equal(dataset.read(1), np.where(VALID, PROBABILITIES[0], np.nan))


@settings(deadline=None)
@given(classes=st.integers(1, 6), seed=st.integers(0, 99))
def test_most_probable_is_the_first_of_the_largest(classes: int, seed: int) -> None:
    steps = np.random.default_rng(seed).integers(0, 3, (classes, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(most_probable(steps), steps.argmax(axis=0))


def test_longest_name_that_outputs_may_have_is_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'p' * (MAX_NAME_BYTES - 4)}.tif"
    with ProbabilityRaster(path, BOX, CLASSES, origin=ORIGIN) as raster:
        feed(raster)
        raster.finish()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("finished", [False, True])
def test_error_leaves_the_former_file_and_nothing_else(tmp_path, error, finished) -> None:
    path = tmp_path / "map.tif"
    path.write_text("former")

    def interrupted() -> None:
        with ClassRaster(path, BOX, CLASSES, origin=ORIGIN) as raster:
            feed(raster)
            if finished:
                raster.finish()
            raise error

    with pytest.raises(error):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]
    assert path.read_text() == "former"


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """As on a disk that is full when a file has this size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_while_rows_are_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with ProbabilityRaster(tmp_path / "probs.tif", BOX, CLASSES, origin=ORIGIN) as raster:
            feed(raster)
            raster.finish()

    with files_up_to(100_000), pytest.raises(OutputError, match="cannot be written"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_full_disk_while_the_cog_is_closed_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    box = GeoBox((600, 600), BOX.affine, BOX.crs)
    noise = RNG.random((2, 600, 600)).astype(np.float32)
    path = tmp_path / "probs.tif"

    def write() -> None:
        with ProbabilityRaster(path, box, CLASSES, origin=ORIGIN) as raster:
            raster.feed(MapRows(0, noise, np.ones((600, 600), bool)))
            raster.finish()

    write()
    size = path.stat().st_size
    path.unlink()
    with files_up_to(size - 1000), pytest.raises(OutputError, match="cannot be written"):
        write()
    assert list(tmp_path.iterdir()) == []
