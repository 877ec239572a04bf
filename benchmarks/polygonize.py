"""Label rasters to polygons on disk: this engine beside the ways people have, on the same rasters.

    python benchmarks/polygonize.py                      # all cases, all tools that are there
    python benchmarks/polygonize.py --case fields-4096 --tool engine --tool rasterio
    python benchmarks/polygonize.py --case fields-50000 --tool polygonize  # ten million polygons
    python benchmarks/polygonize.py --stream 50000 5000  # memory of a wide stream

From a GeoTIFF to a GeoPackage with spatial index, simplified at one pixel, in a process of its own
each. In a mask simplified outlines may leave the mask's area, so `gaps` is there the difference.
`engine` is tracing, simplifying and writing through Arrow; `polygonize` is the command's
function, with all attributes measured; `rasterio` is `rasterio.features.shapes`,
`shapely.coverage_simplify` and pyogrio; `gdal` is `gdal_polygonize`, which does not simplify (it is
the engine behind `rasterio.features.shapes` too); `ftw` is ftw-tools' polygonizer, run by the
Python of `--ftw-python`, which simplifies each polygon for itself.

CPU time is that of the process with all its threads, without start-up; peak memory is VmHWM.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

PIXEL_M = 10.0
CRS = "EPSG:32631"
PLACE = Affine(PIXEL_M, 0, 500_000, 0, -PIXEL_M, 5_000_000)
CASES = {
    "fields-1024": ("fields", 1024),
    "noise-1024": ("noise", 1024),
    "fields-4096": ("fields", 4096),
    "noise-4096": ("noise", 4096),
    "noise-2048": ("noise", 2048),
    "mask-4096": ("mask", 4096),
    "fields-10000": ("fields", 10_000),
    "fields-50000": ("fields", 50_000),
}
DEFAULT_CASES = ("fields-4096", "noise-4096", "mask-4096", "fields-10000")
TOOLS = ("engine", "polygonize", "rasterio", "gdal", "ftw")
CELL_PX = 16
ROWS = 256
JUDGED_PX = 10_000


def fields(size: int, top: int, rows: int, period: int | None = None) -> np.ndarray:
    """Rows of a mosaic of fields: cells around jittered points, about 260 pixels each.

    The points may repeat after a number of rows of cells; labels do not.
    """
    cells = size // CELL_PX + 3
    jitter = np.random.default_rng(1).uniform(0.05, 0.95, (period or cells, cells, 2)) * CELL_PX
    row, column = np.indices((rows, size))
    row = row + top
    cell_row, cell_column = row // CELL_PX + 1, column // CELL_PX + 1
    best = np.full((rows, size), np.inf)
    nearest = np.zeros((rows, size), np.int32)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            point = jitter[(cell_row + i) % len(jitter), cell_column + j]
            y = (cell_row + i - 1) * CELL_PX + point[..., 0] - row
            x = (cell_column + j - 1) * CELL_PX + point[..., 1] - column
            distance = x * x + y * y
            closer = distance < best
            best[closer] = distance[closer]
            nearest[closer] = ((cell_row + i) * cells + cell_column + j)[closer]
    return nearest + 1


def repeated_fields(size: int) -> Iterator[np.ndarray]:
    """Rows of fields whose outlines repeat every 512 rows, for rasters that take long to make."""
    period = 512 // CELL_PX
    labels = size // CELL_PX + 3
    band = np.concatenate([fields(size, top, 64, period) for top in range(0, 512, 64)])
    for top in range(0, size, 512):
        yield band[: size - top] + np.int32(top // CELL_PX * labels)


def inner(size: int, top: int, rows: int) -> np.ndarray:
    """Rows of a mask: 1 within the fields, 0 on the pixels that part them."""
    cells = fields(size, top, rows + 1)
    inside = np.ones((rows, size), np.uint8)
    inside[:, :-1] = cells[:-1, 1:] == cells[:-1, :-1]
    return inside & (cells[1:] == cells[:-1])


def noise(size: int) -> np.ndarray:
    """A noisy land cover of five classes, about 44 pixels a polygon."""
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(2)
    smooth = gaussian_filter(generator.normal(size=(size, size)).astype(np.float32), 4)
    smooth += generator.normal(scale=0.092 * smooth.std(), size=smooth.shape).astype(np.float32)
    return np.digitize(smooth, np.quantile(smooth[:512], [0.2, 0.4, 0.6, 0.8])).astype(np.uint8)


def label_rows(kind: str, size: int) -> Iterator[np.ndarray]:
    if kind == "noise":
        yield noise(size)
    elif size > JUDGED_PX:
        yield from repeated_fields(size)
    else:
        one = {"fields": fields, "mask": inner}[kind]
        for top in range(0, size, ROWS):
            yield one(size, top, min(ROWS, size - top))


def make(case: str, folder: Path) -> Path:
    kind, size = CASES[case]
    nodata = 0 if kind == "mask" else None
    path = folder / f"{case}.tif"
    if path.exists():
        return path
    dtype = "int32" if kind == "fields" else "uint8"
    profile = {"driver": "GTiff", "height": size, "width": size, "count": 1, "dtype": dtype}
    profile |= {"crs": CRS, "transform": PLACE, "tiled": True, "compress": "deflate"}
    profile |= {"blockxsize": 512, "blockysize": 512, "nodata": nodata, "bigtiff": "if_safer"}
    with rasterio.open(path.with_suffix(".part"), "w", **profile) as raster:
        top = 0
        for block in label_rows(kind, size):
            raster.write(block, 1, window=Window(0, top, size, len(block)))
            top += len(block)
    path.with_suffix(".part").rename(path)
    return path


def engine(raster: Path, out: Path) -> None:
    from geoconvlora.scenes.environment import raster_environment
    from geoconvlora.vector.parts import NOTHING

    def rows_of(source: rasterio.DatasetReader) -> Iterator[np.ndarray]:
        for top in range(0, source.height, ROWS):
            window = Window(0, top, source.width, min(ROWS, source.height - top))
            labels = source.read(1, window=window)
            if source.nodata is not None:
                labels = np.where(labels == 0, NOTHING, labels.astype(np.int64))
            yield labels

    with raster_environment(), rasterio.open(raster) as source:
        write_stream(rows_of(source), source.width, out)


def write_stream(blocks: Iterator[np.ndarray], width: int, out: Path) -> None:
    import pyarrow as pa

    from geoconvlora.vector.geopackage_sink import GeoPackageSink
    from geoconvlora.vector.regions import Regions, RegionTracer
    from geoconvlora.vector.schema import BBOX, BBOX_TYPE, GEOMETRY, boxes

    fields = [("id", pa.int64()), ("class_id", pa.int64()), (GEOMETRY, pa.binary())]
    schema = pa.schema([*fields, (BBOX, BBOX_TYPE)])
    tracer = RegionTracer(width, simplify_px=1.0)
    sink = GeoPackageSink(out, schema, "polygons", geometry_type="Polygon", crs=CRS)

    def regions() -> Iterator:
        for block in blocks:
            yield tracer.feed(block)
        yield tracer.finish()

    def rows(done: Regions, first_id: int) -> pa.RecordBatch:
        polygons = done.polygons.moved(PLACE)
        wkb, offsets = polygons.to_wkb()
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(wkb)]
        shapes = pa.Array.from_buffers(pa.large_binary(), len(done), buffers).cast(pa.binary())
        ids = pa.array(np.arange(first_id, first_id + len(done)))
        bounds = boxes(polygons.bounds(done.members))
        columns = [ids, pa.array(done.labels), shapes, bounds]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def write(batch: pa.RecordBatch) -> None:
        for first in range(0, len(batch), sink.batch_rows):
            sink.write(batch.slice(first, sink.batch_rows))

    count = 0
    waiting: deque = deque()
    with ThreadPoolExecutor(1) as other:
        for done in regions():
            if len(done):
                waiting.append(other.submit(rows, done, count))
                count += len(done)
            while len(waiting) > 1:
                write(waiting.popleft().result())
        while waiting:
            write(waiting.popleft().result())
    sink.close()


def polygonize(raster: Path, out: Path) -> None:
    from geoconvlora.vector import polygonize as to_polygons

    to_polygons(raster, out, instances=raster.stem.startswith("fields"))


def rasterio_shapes(raster: Path, out: Path) -> None:
    import geopandas as gpd
    import shapely
    import shapely.geometry
    from rasterio.features import shapes

    with rasterio.open(raster) as source:
        labels = source.read(1)
        mask = None if source.nodata is None else labels != 0
    polygons, values = [], []
    for geometry, value in shapes(labels, mask, connectivity=4, transform=PLACE):
        polygons.append(shapely.geometry.shape(geometry))
        values.append(int(value))
    simple = shapely.coverage_simplify(np.array(polygons), PIXEL_M)
    table = gpd.GeoDataFrame({"class_id": values}, geometry=simple, crs=CRS)
    table.to_file(out, engine="pyogrio", use_arrow=True)


def gdal(raster: Path, out: Path) -> None:
    command = shutil.which("gdal_polygonize") or shutil.which("gdal_polygonize.py")
    subprocess.run([command, "-q", raster, "-f", "GPKG", out], check=True)


def ftw(raster: Path, out: Path) -> None:
    code = (
        "import sys; from ftw_cli.polygonize import polygonize;"
        f"polygonize(sys.argv[1], sys.argv[2], {PIXEL_M}, 0, None, True, False)"
    )
    subprocess.run([os.environ["FTW_PYTHON"], "-c", code, raster, out], check=True)


RUN = {
    "engine": engine,
    "polygonize": polygonize,
    "rasterio": rasterio_shapes,
    "gdal": gdal,
    "ftw": ftw,
}


def child(tool: str, raster: Path, out: Path) -> None:
    if tool in ("engine", "polygonize"):
        # As the command does, before Arrow is imported.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        # Machine code is loaded, and compiled the first time: not what is compared.
        tiny = out.with_name("tiny.tif")
        with rasterio.open(raster) as source:
            profile = source.profile | {"width": 64, "height": 64, "tiled": False}
            values = source.read(1, window=Window(0, 0, 64, 64))
        for name in ("blockxsize", "blockysize"):
            del profile[name]
        with rasterio.open(tiny, "w", **profile) as small:
            small.write(values, 1)
        out.with_name("tiny.gpkg").unlink(missing_ok=True)
        RUN[tool](tiny, out.with_name("tiny.gpkg"))
    wall, cpu = time.perf_counter(), _cpu()
    RUN[tool](raster, out)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": _cpu() - cpu, "peak": _peak()}))


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def judge(raster: Path, out: Path, size: int) -> dict[str, object]:
    """What is wrong with a layer of polygons that should cover the raster."""
    if size > JUDGED_PX:
        import pyogrio

        unseen = dict.fromkeys(("invalid", "overlaps", "gaps_px", "cut"), "-")
        return {"polygons": pyogrio.read_info(out, layer=0)["features"], **unseen}
    import geopandas as gpd
    import shapely
    from skimage.measure import label

    polygons = np.asarray(gpd.read_file(out, use_arrow=True).geometry)
    invalid = ~shapely.is_valid(polygons)
    with rasterio.open(raster) as source:
        labels = source.read(1)
        background = -1 if source.nodata is None else 0
    regions = int(label(labels, background=background, connectivity=1).max())
    suspects = polygons
    if not invalid.any():
        edges = shapely.coverage_invalid_edges(polygons)
        suspects = polygons[~shapely.is_empty(edges)]
    pixel = PIXEL_M**2
    overlaps, doubled = 0, 0.0
    if len(suspects):
        sound = shapely.make_valid(suspects)
        one, other = shapely.STRtree(sound).query(sound, predicate="intersects")
        one, other = one[one < other], other[one < other]
        shared = shapely.area(shapely.intersection(sound[one], sound[other]))
        overlaps, doubled = int((shared > 1e-6 * pixel).sum()), float(shared.sum())
    covered = shapely.area(polygons).sum() - doubled
    return {
        "polygons": len(polygons),
        "invalid": int(invalid.sum()),
        "overlaps": overlaps,
        "gaps_px": abs(round(float((labels != background).sum() - covered / pixel), 1)),
        "cut": len(polygons) - regions,
    }


def missing(tool: str, case: str) -> str | None:
    if tool == "ftw" and not case.startswith("mask"):
        return "it takes masks only"
    if tool == "gdal" and not (
        shutil.which("gdal_polygonize") or shutil.which("gdal_polygonize.py")
    ):
        return "gdal_polygonize is not installed"
    if tool == "ftw" and "FTW_PYTHON" not in os.environ:
        return "give the Python that has ftw-tools with --ftw-python"
    return None


def compare(cases: list[str], tools: list[str], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("case", "tool", "wall s", "CPU s", "times less", "peak MB", "polygons", "invalid",
                  "overlaps", "gaps px", "cut")  # fmt: skip
    for case in cases:
        raster, size = make(case, folder), CASES[case][1]
        results = {}
        for tool in tools:
            reason = missing(tool, case)
            if reason:
                print(f"{tool} left out: {reason}", file=sys.stderr)
                continue
            out = folder / f"{case}-{tool}.gpkg"
            out.unlink(missing_ok=True)
            command = [sys.executable, __file__, "--child", tool, str(raster), str(out)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[tool] = json.loads(done.stdout.splitlines()[-1]) | judge(raster, out, size)
            print(case, tool, results[tool], file=sys.stderr)
        slowest = results.get("rasterio", {}).get("cpu")
        for tool, r in results.items():
            ratio = f"{slowest / r['cpu']:.1f}" if slowest else "-"
            table.add_row(case, tool, f"{r['wall']:.2f}", f"{r['cpu']:.2f}", ratio,
                          f"{r['peak']:.0f}", f"{r['polygons']:,}", str(r["invalid"]),
                          str(r["overlaps"]), str(r["gaps_px"]), str(r["cut"]))  # fmt: skip
    Console(width=140).print(table)


def stream(width: int, height: int) -> None:
    """Fields from a generator to a GeoPackage: time and memory of rasters that fit nowhere."""
    block = fields(width, 0, 64)
    step = int(block.max()) + 1

    def blocks() -> Iterator[np.ndarray]:
        for top in range(0, height, 64):
            # Values repeat further down, where their first regions have long ended.
            yield block[: height - top] + step * (top // 64 % 64)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stream.gpkg"
        cpu = _cpu()
        write_stream(blocks(), width, out)
        size = out.stat().st_size / 1e6
    print(
        f"{width} x {height}: {_cpu() - cpu:.1f} s CPU, peak {_peak():.0f} MB, file {size:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--tool", action="append", choices=TOOLS)
    parser.add_argument("--ftw-python", help="Python of an environment with ftw-tools")
    parser.add_argument("--folder", type=Path, help="keep rasters and results here")
    parser.add_argument("--stream", nargs=2, type=int, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        tool, raster, out = arguments.child
        child(tool, Path(raster), Path(out))
        return
    if arguments.stream:
        stream(*arguments.stream)
        return
    if arguments.ftw_python:
        os.environ["FTW_PYTHON"] = arguments.ftw_python
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cases, tools = arguments.case or list(DEFAULT_CASES), arguments.tool or list(TOOLS)
        compare(cases, tools, folder)


if __name__ == "__main__":
    main()
