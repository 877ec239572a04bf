from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from geoconvlora.inference import tiff
from geoconvlora.inference.cog import BLOCK, CogWriter, halved

PLACE = Affine(10, 0, 600_000, 0, -10, 5_600_000), "EPSG:32631"


def write(path: Path, values: np.ndarray, nodata: float, resampling="average", heights=(100,)):
    geobox = GeoBox(values.shape[1:], *PLACE)
    creation = {"compress": "deflate", "predictor": 3 if values.dtype.kind == "f" else 2}
    writer = CogWriter(
        path,
        geobox,
        count=len(values),
        dtype=str(values.dtype),
        nodata=nodata,
        resampling=resampling,
        creation=creation,
    )
    try:
        row = 0
        while row < values.shape[1]:
            for height in heights:
                writer.write(values[:, row : row + height])
                row += height
        writer.assemble()
        writer.part.replace(path)
    finally:
        writer.discard()
    return path


def blocks(dataset) -> list[tuple[int, int]]:
    """Offset and size of every block of the first band."""
    rows, columns = dataset.block_shapes[0]
    return [
        tuple(
            int(dataset.get_tag_item(f"BLOCK_{what}_{x}_{y}", "TIFF", bidx=1))
            for what in ("OFFSET", "SIZE")
        )
        for y in range(-(-dataset.height // rows))
        for x in range(-(-dataset.width // columns))
    ]


def noise(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 250, shape).astype(dtype)
    return values / np.float32(250) if dtype == "float32" else values


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [(3, 1100, 1300), (1, 513, 40), (2, 1, 1), (1, 40, 2100)])
@pytest.mark.parametrize("big", [False, True])
def test_file_is_laid_out_as_a_cog(tmp_path, monkeypatch, dtype, shape, big) -> None:
    if big:
        monkeypatch.setattr(tiff, "_CLASSIC_LIMIT", 0)
    values = noise(shape, dtype)
    path = write(tmp_path / "a.tif", values, 255 if dtype == "uint8" else np.nan)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    content = path.read_bytes()
    assert content[2] == (43 if big else 42)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.block_shapes == [(BLOCK, BLOCK)] * shape[0]
        factors = dataset.overviews(1)
        starts = [blocks(dataset)]
    assert factors == [2**n for n in range(1, len(factors) + 1)]
    assert max(shape[1:]) / 2 ** len(factors) <= BLOCK
    for level in range(len(factors)):
        with rasterio.open(path, overview_level=level) as overview:
            assert overview.block_shapes == [(BLOCK, BLOCK)] * shape[0]
            starts.append(blocks(overview))
    # The smallest comes first, each in the order of reading, all of the directories before them.
    found = [block for level in reversed(starts) for block in level]
    assert found == sorted(found)
    assert found[0][0] > content.index(b"KNOWN_INCOMPATIBLE_EDITION=NO")
    end = found[0][0] - 4
    for offset, size in found:
        assert offset == end + 4
        assert struct.unpack("<I", content[offset - 4 : offset]) == (size,)
        end = offset + size + 4
        assert content[end - 4 : end] == content[offset + size - 4 : offset + size]
    assert end == len(content)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 99),
    share=st.sampled_from([0, 0.3, 1]),
    dtype=st.sampled_from(["uint8", "float32"]),
)
def test_half_the_size_is_the_mean_of_data(shape, seed, share, dtype) -> None:
    rng = np.random.default_rng(seed)
    nodata = 255 if dtype == "uint8" else np.nan
    values = rng.integers(0, 250, (2, *shape)).astype(dtype)
    values[:, rng.random(shape) < share] = nodata
    found = halved(values, nodata, "average")
    assert found.shape == (2, -(-shape[0] // 2), -(-shape[1] // 2))
    for (band, row, column), mean in np.ndenumerate(found):
        block = values[band, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].astype(float)
        block = block[~np.isnan(block) & (block != 255)]
        if block.size == 0:
            assert np.isnan(mean) or mean == 255
        else:
            assert mean == pytest.approx(block.mean(), abs=0.51 if dtype == "uint8" else 1e-5)


@settings(deadline=None, max_examples=100)
@given(block=st.lists(st.sampled_from([0, 1, 2, 255]), min_size=4, max_size=4))
def test_half_the_size_is_the_most_frequent_class_that_is_data(block) -> None:
    (found,) = halved(np.array(block, np.uint8).reshape(1, 2, 2), 255, "mode").ravel()
    there = [value for value in block if value != 255]
    counts = {value: there.count(value) for value in there}
    expected = max(counts, key=counts.__getitem__) if there else 255  # of equals the first met
    assert found == expected


def test_heights_of_feeds_change_no_byte(tmp_path: Path) -> None:
    values = noise((2, 700, 600), "uint8")
    one = write(tmp_path / "a.tif", values, 255, heights=(700,)).read_bytes()
    other = write(tmp_path / "b.tif", values, 255, heights=(1, 130, 511)).read_bytes()
    assert one == other


def test_gdal_knows_the_file_and_marks_it_when_it_breaks_its_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((1, 600, 600), np.uint8), 255)
    values = noise((1, 600, 600), "uint8")
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.write(values)
    assert b"KNOWN_INCOMPATIBLE_EDITION=YES" in path.read_bytes()
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
