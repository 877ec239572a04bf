"""Peak memory and time of writing polygons, by format and number: memory must not grow with it.

    python benchmarks/writing.py                       # 10,000 and 1,000,000 polygons
    python benchmarks/writing.py --counts 1000 20000 --formats .gpkg

Each line is a process of its own; its memory is what it has more than one that only imports.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 5000


def write(path: Path, count: int) -> None:
    """Write boxes in batches, as a stream of regions would."""
    import numpy as np
    import pyarrow as pa
    import shapely

    from geoconvlora.vector import PolygonWriter
    from geoconvlora.vector.schema import COLUMNS, SCHEMA, boxes

    texts = {"class": "field", "scene": "scene", "date": "2023-06-15", "model": "fields"}
    with PolygonWriter(path, "EPSG:32631", layer="fields") as writer:
        for start in range(0, count, BATCH):
            number = np.arange(start, min(start + BATCH, count))
            x, y = 400_000 + number % 1000 * 50.0, 5e6 + number // 1000 * 50.0
            polygons = shapely.box(x, y, x + 50, y + 50)
            columns = {
                name: pa.array(number + 1)
                if kind == "int64"
                else pa.array(np.full(len(number), 2500.0))
                if kind == "float64"
                else pa.array([texts.get(name, "0123456789abcdef" * 4)] * len(number))
                for name, kind in COLUMNS.items()
            }
            wkb = pa.array(shapely.to_wkb(polygons), pa.binary())
            arrays = [*columns.values(), wkb, boxes(shapely.bounds(polygons))]
            writer.write(pa.Table.from_arrays(arrays, schema=SCHEMA))


def child(path: Path, count: int) -> None:
    write(path.with_name(f"first{path.suffix}"), 10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    write(path, count)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = path.stat().st_size / 2**20
    print(f"{path.suffix:10}{count:12,}{seconds:10.1f}{(peak - before) / 1024:12.0f}{size:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--formats", nargs="+", default=[".gpkg", ".fgb", ".parquet", ".geojson"])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(Path(args.child[0]), int(args.child[1]))
        return
    print(f"{'format':10}{'polygons':>12}{'CPU, s':>10}{'memory, MB':>12}{'file, MB':>10}")
    for suffix in args.formats:
        for count in args.counts:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"polygons{suffix}"
                subprocess.run(
                    [sys.executable, __file__, "--child", str(path), str(count)], check=True
                )


if __name__ == "__main__":
    main()
