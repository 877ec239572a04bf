"""Peak memory and time of `predict` on scenes that differ in height only.

    python benchmarks/memory.py --rows 2000 20000 --width 256

Synthetic landscapes, each predicted in a process of its own, to polygons and a class raster. Prints
a table. Linux only: the kernel tells each process its peak of resident memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from geoconvlora.synthetic import write_sample

PREDICT = """
import pathlib, sys, time
import geoconvlora

started = time.perf_counter()
scene, model, *outputs = sys.argv[1:]
geoconvlora.predict(scene, outputs, model=model)
seconds = time.perf_counter() - started
status = pathlib.Path("/proc/self/status").read_text().splitlines()
(peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
print(f"{seconds:.0f} | {peak / 1024:.0f}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--model", default="fields")
    arguments = parser.parse_args()
    print("| rows | columns | seconds | peak memory, MB |\n|---|---|---|---|")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            files = write_sample(folder, seed=1, size=(rows, arguments.width))
            outputs = [Path(folder, "out.gpkg"), Path(folder, "out.tif")]
            done = subprocess.run(
                [sys.executable, "-c", PREDICT, files.scene, arguments.model, *outputs],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
        print(f"| {rows} | {arguments.width} | {done.stdout.strip()} |", flush=True)


if __name__ == "__main__":
    main()
