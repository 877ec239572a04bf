from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from view_inputs import HOSTILE, write_raster


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene, its classes and probabilities, and six polygons, on one ground of 640 m."""
    folder = tmp_path_factory.mktemp("view")
    rng = np.random.default_rng(0)
    scene = rng.integers(200, 3000, (3, 64, 64), dtype=np.uint16)
    scene[:, :8] = 0
    write_raster(folder / "scene.tif", scene, nodata=0)
    classes = np.zeros((1, 64, 64), np.uint8)
    classes[0, 32:, :16] = 1
    table = [
        {"id": 0, "name": "background", "color": "#000000"},
        {"id": 1, "name": "field", "color": "#33aa33"},
    ]
    tags = {"GEOCONVLORA_CLASSES": json.dumps(table)}
    write_raster(folder / "classes.tif", classes, tags=tags)
    field = rng.random((64, 64), np.float32)
    write_raster(
        folder / "probabilities.tif",
        np.stack([1 - field, field]),
        tags=tags,
        descriptions=["background", "field"],
        nodata=np.nan,
    )
    corners = [(10 + 100 * i, -600, 90 + 100 * i, -600 + 50 * (i + 1)) for i in range(6)]
    polygons = [
        shapely.box(500_000 + a, 5_600_000 + b, 500_000 + c, 5_600_000 + d)
        for a, b, c, d in corners
    ]
    frame = gpd.GeoDataFrame(
        {
            "id": range(1, 7),
            "class": ["field", "meadow"] * 3,
            "area_m2": shapely.area(polygons),
            "confidence": [0.5, 0.9, 0.1, 0.3, 0.7, 0.2],
            "note": [HOSTILE, *"bcdef"],
        },
        geometry=polygons,
        crs=32631,
    )
    frame.to_file(folder / "fields.gpkg")
    return folder
