"""One page of a large scene and very many polygons: time, memory and size of `geoconvlora view`.

    python benchmarks/view.py                                   # a million, 20,000 x 20,000
    python benchmarks/view.py --polygons 50000 --size 5000

The scene has three bands of 16-bit integers without overviews, deflated in tiles; the polygons are
irregular hexagons with the columns of a prediction, once in a GeoPackage with areas and once in a
GeoParquet file without, which `view` then measures. Each page is made by a process of its own. CPU
time is that of the process; peak memory is VmHWM.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from rasterio.windows import Window

PIXEL_M = 10.0
CRS = "EPSG:32631"
PLACE = Affine(PIXEL_M, 0, 400_000, 0, -PIXEL_M, 5_700_000)
ROWS = 1024

RUN = """
import json, sys, time
from pathlib import Path
from geoconvlora.explore.page import view
start = time.perf_counter()
done = view(json.loads(sys.argv[1]), sys.argv[2])
wall = time.perf_counter() - start
peak = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
print(json.dumps([wall, time.process_time(), int(peak.split()[1]) / 1024, done.bytes / 1e6,
    done.polygons, done.notes]))
"""


def write_scene(path: Path, size: int) -> None:
    """Smooth landscapes with noise, so that neither compression nor reading is too easy."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(300, 2500, (3, size // 64 + 2, size // 64 + 2), dtype=np.uint16)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=size, width=size, dtype="uint16", crs=CRS,
        transform=PLACE, nodata=0, tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", zlevel=1,
    ) as scene:  # fmt: skip
        for top in range(0, size, ROWS):
            rows = min(ROWS, size - top)
            which = np.arange(top, top + rows) // 64
            strip = coarse[:, which][:, :, np.arange(size) // 64]
            noise = rng.integers(0, 64, (rows, size), dtype=np.uint16)
            scene.write(strip + noise, window=Window(0, top, size, rows))


def write_polygons(folder: Path, count: int, size: int) -> list[Path]:
    """Hexagons of different sizes, spread evenly."""
    rng = np.random.default_rng(1)
    side = int(np.ceil(np.sqrt(count)))
    step = size * PIXEL_M / side
    row, column = np.divmod(np.arange(count), side)
    radius = step * rng.lognormal(-1.2, 0.25, count)
    angle = np.arange(12) * np.pi / 6
    x = PLACE.c + (column + 0.5)[:, None] * step + radius[:, None] * np.cos(angle)
    y = PLACE.f - (row + 0.5)[:, None] * step + radius[:, None] * np.sin(angle)
    rings = np.stack([x, y], axis=2)
    geometry = shapely.polygons(np.concatenate([rings, rings[:, :1]], axis=1))
    table = pd.DataFrame(
        {
            "id": np.arange(1, count + 1),
            "class": np.where(rng.random(count) < 0.7, "field", "meadow"),
            "class_id": 1,
            "area_m2": shapely.area(geometry),
            "perimeter_m": shapely.length(geometry),
            "confidence": rng.random(count),
            "scene": "scene.tif",
            "model": "fields",
        }
    )
    frame = gpd.GeoDataFrame(table, geometry=geometry, crs=CRS)
    with_areas, without = folder / "with_areas.gpkg", folder / "without_areas.parquet"
    frame.to_file(with_areas, use_arrow=True)
    frame.drop(columns="area_m2").to_parquet(without)
    return [with_areas, without]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polygons", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--keep", type=Path, help="Folder for inputs and pages, made once.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        scene = folder / "scene.tif"
        if not scene.exists():
            write_scene(scene, options.size)
        polygons = [folder / "with_areas.gpkg", folder / "without_areas.parquet"]
        if not all(path.exists() for path in polygons):
            subprocess.run(
                [sys.executable, "-c", _WRITE, str(folder), str(options.polygons),
                 str(options.size)],
                check=True,
                cwd=Path(__file__).parent,
            )  # fmt: skip
        print(f"{options.polygons:,} polygons, {options.size:,} x {options.size:,} pixels")
        print("| polygons | seconds | CPU seconds | peak memory, MB | page, MB | shown |")
        print("|---|---|---|---|---|---|")
        for path in polygons:
            page = folder / f"{path.stem}.html"
            page.unlink(missing_ok=True)
            done = subprocess.run(
                [sys.executable, "-c", RUN, json.dumps([str(scene), str(path)]), str(page)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            wall, cpu, peak, size, shown, notes = json.loads(done.stdout)
            print(
                f"| {path.name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {size:.1f} | {shown:,} |",
                flush=True,
            )
        print(*notes, sep="\n")


_WRITE = "import sys, view; view.write_polygons(view.Path(sys.argv[1]), *map(int, sys.argv[2:]))"

if __name__ == "__main__":
    main()
