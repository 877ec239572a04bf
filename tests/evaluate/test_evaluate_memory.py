"""Peak memory of whole processes, whose maps differ in height only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluate_inputs import ROOT, write_map

WIDTH = 512

EVALUATE = """
import sys
from geoconvlora.evaluate import evaluate
from peak_memory import peak_memory_mb

assert evaluate(sys.argv[1], sys.argv[2]).accuracy.value < 1
print(peak_memory_mb())
"""


def peak_memory(folder: Path, rows: int) -> float:
    patches = np.random.default_rng(0).integers(0, 3, (rows // 32, WIDTH // 32), dtype=np.uint8)
    truth = patches.repeat(32, axis=0).repeat(32, axis=1)
    maps = [
        write_map(folder / f"{name}{rows}.tif", values, compress="deflate", blockysize=64)
        for name, values in (("found", np.roll(truth, 5, axis=1)), ("truth", truth))
    ]
    done = subprocess.run(
        [sys.executable, "-c", EVALUATE, *maps],
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )
    return float(done.stdout)


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_height(tmp_path: Path) -> None:
    short, tall = peak_memory(tmp_path, 4096), peak_memory(tmp_path, 32_768)
    assert tall < 1.15 * short
