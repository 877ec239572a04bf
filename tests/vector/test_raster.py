from __future__ import annotations

import json
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import typer
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from skimage.measure import label
from typer.testing import CliRunner

from geoconvlora.cli.polygonize import polygonize as command
from geoconvlora.errors import BandError, ConfigError, OutputError, SceneError
from geoconvlora.vector import PolygonOptions, polygonize

STEPS = PolygonOptions(simplify_px=0)
TAGS = {
    "GEOCONVLORA_CLASSES": json.dumps(
        [
            {"id": 0, "name": "background", "color": "#000000"},
            {"id": 1, "name": "water", "color": "#0000ff"},
            {"id": 2, "name": "wood", "color": "#00ff00"},
        ]
    ),
    "GEOCONVLORA_MODEL": "lc",
}


def _classes(seed: int = 0, shape: tuple[int, int] = (40, 30), top: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, top, (shape[0] // 2, shape[1] // 2))
    return np.kron(coarse, np.ones((2, 2))).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_regions_of_every_integer_type_are_traced(write_raster, tmp_path, dtype):
    values = _classes().astype(dtype)
    result = polygonize(write_raster(values), tmp_path / "o.gpkg", options=STEPS)
    polygons = gpd.read_file(result.path)
    assert result.polygons == len(polygons) == label(values, background=99, connectivity=1).max()
    for value in range(3):
        area = polygons[polygons["class_id"] == value].area.sum()
        assert area == pytest.approx((values == value).sum() * 100)
        assert set(polygons["class"][polygons["class_id"] == value]) == {f"class_{value}"}
    assert polygons["confidence"].isna().all()


def test_negative_and_large_values_keep_their_number(write_raster, tmp_path):
    values = np.repeat([[-5, 70000, 2**31 - 1]], 4, axis=0).astype(np.int32)
    polygonize(write_raster(values), tmp_path / "o.gpkg", options=STEPS)
    assert sorted(gpd.read_file(tmp_path / "o.gpkg")["class_id"]) == [-5, 70000, 2**31 - 1]


def test_names_and_model_come_from_the_files_tags(write_raster, tmp_path):
    path = write_raster(_classes(), tags=TAGS)
    polygons = gpd.read_file(polygonize(path, tmp_path / "o.gpkg").path)
    assert set(polygons["class"]) == {"water", "wood"}
    assert set(polygons["model"]) == {"lc"}
    assert set(polygons["scene"]) == {"map"}


def test_chosen_classes_are_written_alone(write_raster, tmp_path):
    path = write_raster(_classes(), tags=TAGS)
    chosen = PolygonOptions(classes=("background", "2"))
    result = polygonize(path, tmp_path / "o.gpkg", options=chosen)
    assert set(result.classes) == {"background", "wood"}
    with pytest.raises(ConfigError, match=r"'ice'.*water \(1\), wood \(2\)"):
        polygonize(path, tmp_path / "p.gpkg", options=PolygonOptions(classes=("ice",)))
    assert not (tmp_path / "p.gpkg").exists()


def test_classes_can_be_chosen_by_value_without_names(write_raster, tmp_path):
    path = write_raster(_classes())
    options = PolygonOptions(classes=(1, "class_2"))
    assert set(polygonize(path, tmp_path / "o.gpkg", options=options).classes) == {
        "class_1",
        "class_2",
    }
    with pytest.raises(ConfigError, match=r"class_0 \(0\)"):
        polygonize(path, tmp_path / "p.gpkg", options=PolygonOptions(classes=(7,)))


def test_nodata_belongs_to_no_polygon(write_raster, tmp_path):
    values = _classes()
    path = write_raster(values, nodata=1)
    polygons = gpd.read_file(polygonize(path, tmp_path / "o.gpkg", options=STEPS).path)
    assert polygons.area.sum() == pytest.approx((values != 1).sum() * 100)


def test_a_raster_without_valid_pixels_gives_an_empty_layer_and_a_warning(write_raster, tmp_path):
    path = write_raster(np.zeros((9, 9), np.uint8), nodata=0)
    with pytest.warns(UserWarning, match="no valid pixel"):
        result = polygonize(path, tmp_path / "o.gpkg")
    assert result.polygons == 0
    assert len(gpd.read_file(result.path)) == 0


def test_objects_are_their_values_regions_without_zero(write_raster, tmp_path):
    values = np.zeros((20, 20), np.int32)
    values[2:8, 2:8], values[2:8, 8:14], values[12:15, 3:5] = 7, 9, 100000
    result = polygonize(write_raster(values), tmp_path / "o.gpkg", instances=True, options=STEPS)
    polygons = gpd.read_file(result.path)
    assert sorted(polygons.area) == [600, 3600, 3600]
    assert set(polygons["class"]) == {"object"}


def test_small_polygons_are_dropped(write_raster, tmp_path):
    values = np.zeros((20, 20), np.uint8)
    values[2:4, 2:4], values[8:12, 8:12] = 1, 2
    options = PolygonOptions(simplify_px=0, min_area_m2=1000)
    assert polygonize(write_raster(values), tmp_path / "o.gpkg", options=options).polygons == 2


def test_small_polygons_go_to_the_neighbour_beside_most_of_their_border(write_raster, tmp_path):
    values = np.ones((20, 20), np.uint8)
    values[:, 12:], values[8:10, 11:13], values[3, 4] = 2, 5, 6
    options = PolygonOptions(simplify_px=0, min_area_m2=1000, min_area_to="neighbour")
    polygonize(write_raster(values), tmp_path / "o.gpkg", options=options)
    polygons = gpd.read_file(tmp_path / "o.gpkg").set_index("class_id").area
    assert polygons.to_dict() == {1: 100 * (20 * 12 + 2), 2: 100 * (20 * 8 - 2)}


def test_small_polygons_go_nowhere_else():
    with pytest.raises(ConfigError, match="min_area_to is 'sea': choose nothing or neighbour"):
        PolygonOptions(min_area_to="sea")


@pytest.mark.parametrize("several", [True, False])
def test_confidence_is_the_mean_probability(write_raster, tmp_path, several):
    values = np.repeat([[0, 1, 1, 2]], 6, axis=0).astype(np.uint8)
    chance = np.random.default_rng(0).random((3, 6, 4), np.float32)
    own = np.take_along_axis(chance, values[None].astype(int), axis=0)[0]
    probs = write_raster(chance if several else own, "probs.tif")
    path = write_raster(values, tags=TAGS)
    polygons = gpd.read_file(polygonize(path, tmp_path / "o.gpkg", probs=probs).path)
    for row in polygons.itertuples():
        assert row.confidence == pytest.approx(own[values == row.class_id].mean(), rel=1e-6)


def test_probabilities_on_another_grid_are_refused(write_raster, tmp_path):
    moved = Affine(10, 0, 500005, 0, -10, 5000000)
    probs = write_raster(np.ones((40, 30), np.float32), "probs.tif", transform=moved)
    with pytest.raises(SceneError, match="not on the grid"):
        polygonize(write_raster(_classes()), tmp_path / "o.gpkg", probs=probs)


def test_whole_rasters_and_many_blocks_give_valid_coverages(write_raster, tmp_path):
    path = write_raster(_classes(3, (1100, 40), top=4), tiled=True, blockxsize=16, blockysize=16)
    polygons = gpd.read_file(polygonize(path, tmp_path / "o.gpkg").path)
    assert polygons.is_valid.all()
    assert shapely.coverage_is_valid(polygons.geometry.array)
    assert polygons.area.sum() == pytest.approx(1100 * 40 * 100)


def test_what_is_no_class_raster_is_refused(write_raster, tmp_path):
    out = tmp_path / "o.gpkg"
    empty = tmp_path / "empty.tif"
    empty.touch()
    for raster, error, message in [
        (tmp_path / "missing.tif", SceneError, "does not exist"),
        (tmp_path, SceneError, "folder"),
        (empty, SceneError, "empty"),
        (write_raster(_classes(), "plain.tif", crs=None), SceneError, "no CRS"),
        (write_raster(np.zeros((9, 9), np.float32), "f.tif"), SceneError, "float32"),
        (write_raster(np.zeros((3, 9, 9), np.uint8), "rgb.tif"), BandError, "3 bands"),
    ]:
        with pytest.raises(error, match=message):
            polygonize(raster, out)
        assert not out.exists()


def test_a_truncated_raster_leaves_nothing(write_raster, tmp_path):
    noise = np.random.default_rng(0).integers(0, 3, (900, 200)).astype(np.uint8)
    path = write_raster(noise)
    path.write_bytes(path.read_bytes()[:60000])
    with pytest.raises(SceneError, match=r"map\.tif"):
        polygonize(path, tmp_path / "o.gpkg")
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]


def test_a_raster_without_a_place_is_refused(write_raster, tmp_path):
    with pytest.warns(NotGeoreferencedWarning):
        path = write_raster(_classes(), transform=Affine.identity())
    with pytest.raises(SceneError, match="no usable geotransform"):
        polygonize(path, tmp_path / "o.gpkg")


def test_a_damaged_raster_is_named_even_beside_probabilities(write_raster, tmp_path):
    noise = np.random.default_rng(0).integers(0, 3, (900, 200)).astype(np.uint8)
    path = write_raster(noise, compress="deflate")
    probs = write_raster(noise.astype(np.float32), "probs.tif")
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + bytes(5000) + whole[10_000:])
    with pytest.raises(SceneError, match=r"map\.tif cannot be read at rows 0 to 519"):
        polygonize(path, tmp_path / "o.gpkg", probs=probs)


def test_more_pixels_than_the_file_can_hold_are_refused(tmp_path):
    place = Affine(10, 0, 500000, 0, -10, 5000000)
    profile = {"height": 33_000, "width": 33_000, "count": 1, "dtype": "uint8", "transform": place}
    blocks = {"blockysize": 33_000, "SPARSE_OK": True}
    with rasterio.open(
        tmp_path / "bomb.tif", "w", driver="GTiff", crs="EPSG:32631", **profile, **blocks
    ):
        pass
    with pytest.raises(SceneError, match="claims 33000 x 33000 pixels in a file of"):
        polygonize(tmp_path / "bomb.tif", tmp_path / "o.gpkg")
    assert not (tmp_path / "o.gpkg").exists()


def test_an_existing_output_is_kept(write_raster, tmp_path):
    (tmp_path / "o.gpkg").write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        polygonize(write_raster(_classes()), tmp_path / "o.gpkg")
    assert (tmp_path / "o.gpkg").read_text() == "old"


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app


def test_command_prints_what_it_wrote_as_json(write_raster, tmp_path):
    arguments = [str(write_raster(_classes(), tags=TAGS)), "-o", str(tmp_path / "o.fgb"), "--json"]
    done = CliRunner().invoke(_app(), [*arguments, "--classes", "wood", "--simplify", "0"])
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert said["classes"] == {"wood": said["polygons"]}
    assert said["polygons"] == len(gpd.read_file(tmp_path / "o.fgb"))


def test_command_appends_a_layer_of_field_boundaries(write_raster, tmp_path):
    arguments = [str(write_raster(_classes())), "-o", str(tmp_path / "o.gpkg"), "--append"]
    for more in (["--layer", "map"], ["--layer", "fields", "--fiboa"], ["--layer", "map"]):
        assert CliRunner().invoke(_app(), [*arguments, *more]).exit_code == 0
    once = polygonize(write_raster(_classes()), tmp_path / "p.gpkg").polygons
    assert len(gpd.read_file(tmp_path / "o.gpkg", layer="map")) == 2 * once
    assert "determination_method" in gpd.read_file(tmp_path / "o.gpkg", layer="fields")


HEAVY = """
import sys
from geoconvlora.cli import app

sys.argv = ["geoconvlora", "polygonize", *sys.argv[1:], "--quiet"]
app(standalone_mode=False)
heavy = {"torch", "torchvision", "torchgeo", "lightning", "matplotlib", "numba.np.linalg"}
heavy |= {"safetensors", "scipy.linalg", "scipy.ndimage", "skimage", "xarray"}
print(sorted(heavy & set(sys.modules)))
"""


def test_command_imports_nothing_that_it_does_not_need(write_raster, tmp_path):
    raster, out = str(write_raster(_classes())), str(tmp_path / "o.gpkg")
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", HEAVY, raster, "-o", out, "--overwrite"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_vector_never_imports_torch():
    code = "import geoconvlora.vector, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint64", 2**63), ("int64", -(2**62)), ("int64", -(2**62) - 1)]
)
def test_values_that_leave_no_room_for_nothing_are_refused(write_raster, tmp_path, dtype, value):
    values = np.full((6, 6), value, dtype)
    values[2:4] = 5
    with pytest.raises(SceneError, match="number them anew"):
        polygonize(write_raster(values), tmp_path / "o.gpkg")
    assert not (tmp_path / "o.gpkg").exists()


def test_damage_is_told_in_gdals_words(write_raster, tmp_path):
    path = write_raster(_classes(shape=(400, 300)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SceneError) as caught:
        polygonize(path, tmp_path / "o.gpkg")
    assert "See previous exception" not in str(caught.value)


def test_so_many_classes_are_taken_for_objects_aloud_and_get_no_style(tmp_path, write_raster):
    values = np.arange(5000, dtype=np.int32).reshape(50, 100)
    path = write_raster(values)
    with pytest.warns(UserWarning, match="more than 4,096 values.*--instances"):
        polygonize(path, tmp_path / "p.gpkg", options=STEPS)
    assert len(pyogrio.list_layers(tmp_path / "p.gpkg")) == 1


@pytest.mark.parametrize("block", [16, 48, 256])
def test_rows_are_read_right_however_they_are_stored(write_raster, utm_grid, monkeypatch, block):
    monkeypatch.setattr("geoconvlora.vector.labels.Labels.read_pixels", 20 * 64)
    monkeypatch.setattr("geoconvlora.vector.label_file._STRIP_PART_PIXELS", 20 * 64)
    values = np.random.default_rng(0).integers(0, 3, (130, 64)).astype(np.uint8)
    stored = {"tiled": True, "blockxsize": block, "blockysize": block}
    path = write_raster(values, "array.tif", nodata=2, compress="deflate", **stored)
    expected = polygonize(values, geobox=utm_grid(130, 64), nodata=2, options=STEPS)
    assert_geodataframe_equal(polygonize(path, options=STEPS), expected)


@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize("how", ["nodata", "alpha", "internal mask", "mask beside it"])
def test_pixels_that_a_file_masks_are_of_no_polygon(tmp_path, utm_grid, how, tiled):
    rng = np.random.default_rng(3)
    values = rng.integers(0, 3, (130, 64)).astype(np.uint8)
    masked = rng.random(values.shape) < 0.3
    path, grid = tmp_path / "array.tif", utm_grid(130, 64)
    profile = {"nodata": 9} if how == "nodata" else {}
    if tiled:
        profile |= {"tiled": True, "blockxsize": 32, "blockysize": 32}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=how == "internal mask"),
        rasterio.open(
            path, "w", driver="GTiff", height=130, width=64, count=1 + (how == "alpha"),
            dtype="uint8", crs="EPSG:32631", transform=grid.transform, **profile,
        ) as file,
    ):  # fmt: skip
        file.write(np.where(masked, 9, values) if how == "nodata" else values, 1)
        if how == "alpha":
            file.write(np.where(masked, 0, 255).astype(np.uint8), 2)
            file.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
        elif how != "nodata":
            file.write_mask(~masked)
    assert path.with_suffix(".tif.msk").exists() == (how == "mask beside it")
    expected = polygonize(np.where(masked, 9, values), geobox=grid, nodata=9, options=STEPS)
    assert_geodataframe_equal(polygonize(path, options=STEPS), expected)


@pytest.mark.parametrize("asked", ["5", "class_5"])
def test_values_that_the_tag_does_not_name_can_be_chosen(write_raster, tmp_path, asked):
    values = np.repeat([[0, 1, 5]], 4, axis=0).astype(np.uint8)
    path = write_raster(values, tags=TAGS)
    result = polygonize(path, tmp_path / "o.gpkg", options=PolygonOptions(classes=(asked,)))
    assert result.classes == {"class_5": 1}
    with pytest.raises(ConfigError, match=r"'7'.*wood \(2\), class_5 \(5\)$"):
        polygonize(path, tmp_path / "p.gpkg", options=PolygonOptions(classes=("7",)))


def test_a_class_of_a_raster_without_valid_pixels_is_refused(write_raster, tmp_path):
    path = write_raster(np.zeros((4, 4), np.uint8), nodata=0)
    with pytest.raises(ConfigError, match=r"has no class 'wood': none of its pixels is valid$"):
        polygonize(path, tmp_path / "o.gpkg", options=PolygonOptions(classes=("wood",)))
