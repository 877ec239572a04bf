"""Object scores of a field model in windows of three continents, whose fields we drew by eye.

    python benchmarks/fields_places.py                         # the bundled model
    python benchmarks/fields_places.py --model my.safetensors
    python benchmarks/fields_places.py --only luxembourg --bands 4,3,2    # in false colour

`field_places/*.json` hold the outlines, in pixels (column, row) of scenes under
`../shared/data/train`: all fields of which more than half lies in a window, and "unclear" ground,
which is left out, fields that a window cuts among it. They choose between models and thresholds, so
they train none. Other eyes would have drawn some boundaries otherwise.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Self

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from fields_belgium import DATA, predicted_polygons
from numpy.typing import NDArray

from geoconvlora.cli.options import band_numbers
from geoconvlora.evaluate import ObjectScores, object_scores

DRAWN = Path(__file__).with_name("field_places")


@dataclass(frozen=True)
class Place:
    """One labelled window.

    Attributes:
        name: Name of its file.
        scene: The scene.
        bands: Red, green and blue of it.
        fields: Outlines, in a projected CRS.
        window: The ground in which they are complete.
    """

    name: str
    scene: Path
    bands: tuple[int, ...]
    fields: gpd.GeoDataFrame
    window: gpd.GeoDataFrame

    @classmethod
    def read(cls, file: Path, data: Path) -> Self:
        """Read outlines, and place them on the ground by their scene."""
        drawn = json.loads(file.read_text())
        scene = data / "train" / drawn["scene"]
        column, row, width, height = drawn["window"]
        window = shapely.box(column, row, column + width, row + height)
        unclear = shapely.union_all([shapely.Polygon(ring) for ring in drawn["unclear"]])
        with rasterio.open(scene) as raster:
            affine, crs = raster.transform, raster.crs

        a, b, left, d, e, top = tuple(affine)[:6]

        def place(at: NDArray[np.float64]) -> NDArray[np.float64]:
            column, row = at.T
            return np.column_stack([a * column + b * row + left, d * column + e * row + top])

        def on_the_ground(shapes: list[shapely.Geometry]) -> gpd.GeoDataFrame:
            moved = shapely.transform(np.array(shapes), place)
            placed = gpd.GeoDataFrame(geometry=moved, crs=crs)
            return placed.to_crs(placed.estimate_utm_crs()) if crs.is_geographic else placed

        return cls(
            name=file.stem,
            scene=scene,
            bands=tuple(drawn["bands"]),
            fields=on_the_ground([shapely.Polygon(ring) for ring in drawn["fields"]]),
            window=on_the_ground([shapely.difference(window, unclear)]),
        )

    @cached_property
    def least_area(self) -> float:
        """Square metres in a window that make an object: four pixels."""
        with rasterio.open(self.scene) as raster:
            pixels = raster.width * raster.height
            footprint = gpd.GeoSeries([shapely.box(*raster.bounds)], crs=raster.crs)
        return 4 * float(footprint.to_crs(self.fields.crs).area.sum()) / pixels

    def scores(self, predicted: gpd.GeoDataFrame) -> ObjectScores:
        """Scores in the window."""
        return object_scores(
            predicted, self.fields, windows=self.window, least_area=self.least_area
        )


def places(data: Path) -> list[Place]:
    """All places."""
    return [Place.read(file, data) for file in sorted(DRAWN.glob("*.json"))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with train/")
    parser.add_argument("--model", default="fields")
    parser.add_argument("--only", default="", help="places whose names begin so")
    parser.add_argument("--bands", type=band_numbers, help="instead of those that were drawn from")
    options = parser.parse_args()
    print("| place | fields | object F1 | precision | recall | extent IoU |")
    print("|---|---|---|---|---|---|")
    # Some windows are of one scene.
    mapped = cache(lambda scene, bands: predicted_polygons(scene, options.model, bands=bands))
    rows: list[NDArray[np.float64]] = []
    for place in places(options.data):
        if not place.name.startswith(options.only):
            continue
        s = place.scores(mapped(place.scene, options.bands or place.bands))
        rows.append(np.array([s.f1, s.precision, s.recall, s.extent_iou]))
        cells = " | ".join(f"{value:.3f}" for value in rows[-1])
        print(f"| {place.name} | {s.tp + s.fn} | {cells} |", flush=True)
    cells = " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0))
    print(f"| mean | | {cells} |")


if __name__ == "__main__":
    main()
