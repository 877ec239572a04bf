"""Predict every raster below a folder and check the polygons that come out.

    python benchmarks/every_scene.py --data ../shared/data/train

A line a raster: polygons, invalid ones, the area that neighbours share (0: none overlap), and the
largest relative difference of ``area_m2`` from the geodesic area of the same outline. Rasters that
cannot be scenes for the model (no CRS, one band) are listed with the reason. Exit code 1 if a
check fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

import geoconvlora
from geoconvlora.errors import GeoConvLoRAError
from geoconvlora.vector.schema import COLUMNS
from geoconvlora.weights import Model

WORST_AREA_ERROR = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pattern", default="**/*.tif")
    parser.add_argument("--model", default="fields")
    arguments = parser.parse_args()
    model = geoconvlora.load(arguments.model)
    failed = 0
    for scene in sorted(arguments.data.glob(arguments.pattern)):
        started = time.perf_counter()
        try:
            faults, summary = check(scene, model)
        except GeoConvLoRAError as error:
            faults, summary = [], f"refused: {error}"
        seconds = time.perf_counter() - started
        failed += bool(faults)
        verdict = f"FAILED {'; '.join(faults)}" if faults else "ok"
        print(f"{scene.relative_to(arguments.data)}: {verdict}, {summary}, {seconds:.0f} s")
        sys.stdout.flush()
    sys.exit(failed > 0)


def check(scene: Path, model: Model) -> tuple[list[str], str]:
    """What is wrong with the scene's polygons, and their summary."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "polygons.gpkg")
        geoconvlora.predict(scene, out, model=model)
        information = pyogrio.read_info(out)
        layer = gpd.read_file(out)
    outlines = layer.geometry.to_numpy()
    invalid = int((~shapely.is_valid(outlines)).sum())
    shared = sum(shared_areas(outlines))
    found = layer["area_m2"].to_numpy()
    worst = float(np.max(np.abs(found / geodesic_areas(layer) - 1), initial=0))
    faults = []
    if set(information["fields"]) != set(COLUMNS) or information["geometry_type"] != "Polygon":
        faults.append("schema")
    if invalid:
        faults.append("invalid geometries")
    if shared > 0:
        faults.append("overlaps")
    if worst > WORST_AREA_ERROR:
        faults.append("areas")
    return faults, (
        f"{len(layer)} polygons, {invalid} invalid, {shared:.1e} shared, area error {worst:.1e}"
    )


def shared_areas(outlines: np.ndarray) -> Iterator[float]:
    """Area of what two polygons have in common, for each pair that meets."""
    tree = shapely.STRtree(outlines)
    for one, other in zip(*tree.query(outlines, predicate="intersects"), strict=True):
        if one < other:
            yield shapely.intersection(outlines[one], outlines[other]).area


def geodesic_areas(layer: gpd.GeoDataFrame) -> np.ndarray:
    """Areas on the CRS's ellipsoid, edges drawn finely so that they stay straight on the map."""
    if layer.empty:
        return np.empty(0)
    west, south, east, north = layer.total_bounds
    outlines = layer.geometry.segmentize(max(east - west, north - south) / 1000)
    geographic = layer.crs.geodetic_crs
    placed = outlines.to_crs(geographic)
    geod = layer.crs.get_geod()
    return np.array([abs(geod.geometry_area_perimeter(outline)[0]) for outline in placed])


if __name__ == "__main__":
    main()
