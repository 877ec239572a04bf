"""The bundled model on two scenes of one synthetic landscape, in neighbouring UTM zones."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.shutil import copy as copy_raster
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

import geoconvlora
from geoconvlora.evaluate import object_scores
from geoconvlora.synthetic import write_sample

SIZE, HALF = 320, 190

# rasterio multiplies affine transforms in a way that affine 3 wants spelled otherwise.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.fixture(scope="module")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One scene, and the same as two that overlap by 60 columns, the second warped to zone 32."""
    folder = tmp_path_factory.mktemp("landscape")
    files = write_sample(folder / "sample", seed=12345, size=SIZE)
    paths = {"whole": files.scene, "fields": files.fields}
    with rasterio.open(files.scene) as scene:
        for name, column in (("west", 0), ("east", SIZE - HALF)):
            window = Window(column, 0, HALF, SIZE)
            paths[name] = folder / f"{name}.tif"
            place = from_origin(scene.bounds.left + column * 10, scene.bounds.top, 10, 10)
            profile = {**scene.profile, "width": HALF, "transform": place}
            profile["nodata"] = 0
            with rasterio.open(paths[name], "w", **profile) as half:
                half.write(scene.read(window=window))
                half.descriptions = scene.descriptions
                half.colorinterp = scene.colorinterp
    east = folder / "east32.tif"
    with (
        rasterio.open(paths["east"]) as half,
        WarpedVRT(half, crs="EPSG:32632", resampling=Resampling.cubic) as warped,
    ):
        copy_raster(warped, east, driver="GTiff")
    return {**paths, "east": east}


@pytest.mark.slow
def test_fields_at_the_seam_are_found_as_well_as_elsewhere(landscape, tmp_path) -> None:
    scenes = [landscape["west"], landscape["east"]]
    geoconvlora.predict(scenes, tmp_path / "fields.gpkg")
    geoconvlora.predict(landscape["whole"], tmp_path / "whole.gpkg")
    joined, alone = (gpd.read_file(tmp_path / f"{name}.gpkg") for name in ("fields", "whole"))
    truth = gpd.read_file(landscape["fields"])
    assert joined.crs == truth.crs
    with rasterio.open(landscape["whole"]) as scene:
        left, bottom, right, top = scene.bounds
    middle = (left + right) / 2
    boxes = {
        "seam": [shapely.box(middle - 500, bottom + 200, middle + 500, top - 200)],
        "rest": [
            shapely.box(left + 200, bottom + 200, middle - 500, top - 200),
            shapely.box(middle + 500, bottom + 200, right - 200, top - 200),
        ],
    }
    scores = {}
    for place, box in boxes.items():
        windows = gpd.GeoDataFrame(geometry=box, crs=truth.crs)
        for name, found in (("joined", joined), ("alone", alone)):
            scores[place, name] = object_scores(found, truth, windows=windows, least_area=2000)
    print({k: (v.tp, v.fp, v.fn, v.f1) for k, v in scores.items()})
    for each in scores.values():
        assert each.tp + each.fn > 20
    # As well as in one scene that has no seam, up to what warping half of it does.
    assert scores["seam", "joined"].f1 > scores["seam", "alone"].f1 - 0.08
    assert scores["rest", "joined"].f1 > scores["rest", "alone"].f1 - 0.08
    assert "east32,west" in set(joined["scene"])
