"""Time and peak memory of `predict` around a network that costs next to nothing.

    python benchmarks/scenes.py --sizes 5000x10000 50000x10000 --tile 1024 --overlap 128
    pip install --no-deps --target PEER geoai-py
    python benchmarks/scenes.py --sizes 3000x10000 6000x10000 --peer PEER

Scenes are one picture of fields, three bands of bytes, repeated by a VRT, so they take no room on
disk. The network is a convolution of 1 x 1 pixel to three classes. Each size is predicted in a
process of its own, with one thread for numerics, to a class raster and probabilities as bytes.
Prints a table of processor time, with and without the network, and of peak memory (Linux only: the
kernel tells each process its peak of resident memory).

With `--peer` the same scene goes through the same network in geoai-py's `predict_geotiff` too, with
the same tiles, to probabilities as bytes. ftw-tools takes its network from a checkpoint of its own
class only, and segment-geospatial is made around SAM's mask generator: neither lets it be replaced.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.transform import Affine

SIDE = 2048
PLACE = {"crs": "EPSG:32631", "transform": Affine(10, 0, 600_000, 0, -10, 5_600_000)}


def write_picture(path: Path, noise: float) -> None:
    """Fields of 20 to 60 pixels, each of one colour with a little noise."""
    rng = np.random.default_rng(0)
    seeds = rng.integers(0, SIDE, (2, 3000))
    rows, columns = np.indices((SIDE // 4, SIDE // 4)) * 4
    nearest = np.zeros(rows.shape, np.int64)
    best = np.full(rows.shape, np.inf)
    for number, (row, column) in enumerate(seeds.T):
        distance = np.hypot(rows - row, columns - column)
        closer = distance < best
        nearest[closer], best[closer] = number, distance[closer]
    colours = rng.integers(20, 230, (3, seeds.shape[1]))
    picture = colours[:, nearest].repeat(4, axis=1).repeat(4, axis=2)
    picture = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=3,
        height=SIDE,
        width=SIDE,
        dtype="uint8",
        tiled=True,
        blockxsize=512,
        blockysize=512,
        **PLACE,
    ) as dataset:
        dataset.write(picture)


def write_scene(path: Path, picture: Path, height: int, width: int) -> None:
    """The picture, side by side and below itself, as a VRT."""
    transform = ", ".join(map(str, PLACE["transform"].to_gdal()))
    bands = []
    for band in (1, 2, 3):
        sources = []
        for row in range(0, height, SIDE):
            for column in range(0, width, SIDE):
                h, w = min(SIDE, height - row), min(SIDE, width - column)
                sources.append(
                    f'<SimpleSource><SourceFilename relativeToVRT="1">{picture.name}'
                    f"</SourceFilename><SourceBand>{band}</SourceBand>"
                    f'<SrcRect xOff="0" yOff="0" xSize="{w}" ySize="{h}"/>'
                    f'<DstRect xOff="{column}" yOff="{row}" xSize="{w}" ySize="{h}"/>'
                    "</SimpleSource>"
                )
        bands.append(
            f'<VRTRasterBand dataType="Byte" band="{band}">{"".join(sources)}</VRTRasterBand>'
        )
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32631</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>{''.join(bands)}</VRTDataset>"
    )


def cheap_model(tile: int):
    import torch
    from torch import nn

    from geoconvlora.weights import Model
    from geoconvlora.weights.card import Band, BaseWeights, ClassInfo, ModelCard, Scaling

    class Timed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer, self.seconds, self.calls = nn.Conv2d(3, 3, 1), 0.0, 0
            nn.init.normal_(self.layer.weight, std=8)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            started = time.thread_time()
            found = self.layer(images)
            self.seconds += time.thread_time() - started
            self.calls += 1
            return found

    card = ModelCard(
        name="cheap",
        task="classes",
        base=BaseWeights(name="none", size="vit_t"),
        method="full",
        classes=tuple(
            ClassInfo(id=i, name=name, color=color)
            for i, (name, color) in enumerate(
                [("ground", "#a08060"), ("crop", "#40a040"), ("road", "#808080")]
            )
        ),
        bands=tuple(Band(name=name, mean=0.5, std=0.25) for name in ("red", "green", "blue")),
        scaling=Scaling(scale=1 / 255),
        tile_size=tile,
    )
    return Model(card, Timed())


def ours(model, scene: str, folder: Path, arguments: dict) -> None:
    from geoconvlora.inference import predict

    predict(
        scene,
        [folder / "classes.tif"],
        probs=folder / "probs.tif",
        probs_dtype="uint8",
        model=model,
        overlap=arguments["overlap"],
        batch_size=arguments["batch"],
        device="cpu",
    )


def geoai(model, scene: str, folder: Path, arguments: dict) -> None:
    from torch import nn

    # The one module: its package imports many others that it has no need of.
    path = Path(arguments["peer"], "geoai", "inference.py")
    spec = importlib.util.spec_from_file_location("geoai_inference", path)
    module = importlib.util.module_from_spec(spec)
    # All that it takes from its package, and only where no device is given.
    sys.modules["geoai"] = types.ModuleType("geoai")
    utils = sys.modules["geoai.utils"] = types.ModuleType("geoai.utils")
    utils.get_device = lambda: "cpu"
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.predict_geotiff(
        nn.Sequential(model.network, nn.Softmax(dim=1)),
        scene,
        str(folder / "probs.tif"),
        tile_size=arguments["tile"],
        overlap=arguments["overlap"],
        batch_size=arguments["batch"],
        num_classes=3,
        output_dtype="uint8",
        output_nodata=255,
        blend_mode="cosine",
        preprocess_fn=lambda tile: (tile / 255 - 0.5) / 0.25,
        postprocess_fn=lambda map_: map_ * 250,
        device="cpu",
        compress="deflate",
        verbose=False,
    )


def predict_one(arguments: dict) -> None:
    """What the child process does."""
    import torch

    import geoconvlora.inference.running  # noqa: F401  (before the clock starts)

    torch.set_num_threads(1)
    model = cheap_model(arguments["tile"])
    folder = Path(arguments["folder"])
    wall, cpu = time.perf_counter(), time.process_time()
    tool = {"geoconvlora": ours, "geoai": geoai}[arguments["tool"]]
    with torch.inference_mode():
        tool(model, arguments["scene"], folder, arguments)
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
    report = {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "network_s": model.network.seconds,
        "peak_mb": peak / 1024,
        "bytes": sum(path.stat().st_size for path in folder.glob("*.tif")),
    }
    print(json.dumps(report))


def in_child(arguments: dict) -> dict:
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **threads},
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["5000x10000", "20000x10000"])
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--overlap", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, help="Where to write; default: a temporary folder.")
    parser.add_argument("--peer", type=Path, help="Folder that geoai-py was installed into.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        predict_one(json.loads(arguments.child))
        return
    tools = ["geoconvlora"]
    if arguments.peer is not None:
        if Path(arguments.peer, "geoai", "inference.py").exists():
            tools.append("geoai")
        else:
            print(f"geoai-py is not in {arguments.peer}: not compared", file=sys.stderr)
    print("| tool | rows x columns | CPU, s | Mpx a CPU second | without network | peak, MB |")
    print("|---|---|---|---|---|---|")
    for size in arguments.sizes:
        height, width = map(int, size.split("x"))
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            picture, scene = Path(folder, "picture.tif"), Path(folder, "scene.vrt")
            write_picture(picture, arguments.noise)
            write_scene(scene, picture, height, width)
            if len(tools) > 1:  # geoai-py writes in the format that it reads
                rasterio.shutil.copy(scene, scene.with_suffix(".tif"), driver="GTiff", tiled=True)
                scene = scene.with_suffix(".tif")
            for tool in tools:
                out = Path(folder, tool)
                out.mkdir()
                found = in_child(
                    {
                        "tool": tool,
                        "scene": str(scene),
                        "folder": str(out),
                        "tile": arguments.tile,
                        "overlap": arguments.overlap,
                        "batch": arguments.batch,
                        "peer": str(arguments.peer),
                    }
                )
                print(row_of(tool, height, width, found), flush=True)


def row_of(tool: str, height: int, width: int, found: dict) -> str:
    megapixels = height * width / 1e6
    own = found["cpu_s"] - found["network_s"]
    return (
        f"| {tool} | {height:,} x {width:,} | {found['cpu_s']:.1f} | "
        f"{megapixels / found['cpu_s']:.1f} | {megapixels / own:.1f} | {found['peak_mb']:.0f} |"
    )


if __name__ == "__main__":
    main()
