from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba.core.caching
import pytest
from numba import types

from geoconvlora.vector.compiled import compiled, part_of_loops

ROOT = Path(__file__).parents[2]

HELPER = """
from geoconvlora.vector.compiled import part_of_loops

@part_of_loops("int64(int64)")
def step(number):
    return number + {step}
"""
LOOP = """
from geoconvlora.vector.compiled import compiled
from helper import step

@compiled("int64(int64)")
def twice(number):
    return step(step(number))

print(twice(0))
"""
EVERY_LOOP = """
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

import geoconvlora.vector
from geoconvlora.vector.compiled import CompiledLoop
from geoconvlora.vector.minima import basins

for source in Path(geoconvlora.vector.__file__).parent.glob("[a-z]*.py"):
    for loop in list(vars(import_module(f"geoconvlora.vector.{source.stem}")).values()):
        if isinstance(loop, CompiledLoop):
            loop.machine_code
lowest = basins(np.array([[9, 1, 60]], np.uint8), 10)
print(lowest.tolist(), "numba.np.linalg" in sys.modules)
"""


def test_arguments_of_other_types_are_refused():
    double = compiled("int64(int64)")(lambda number: 2 * number)
    assert double(21) == 42
    with pytest.raises(TypeError, match="No matching definition"):
        double("21")


def test_a_loop_can_call_another():
    double = compiled("int64(int64)")(lambda number: 2 * number)
    fourfold = compiled("int64(int64)")(lambda number: double(double(number)))
    assert fourfold(3) == 12


def test_a_part_of_loops_is_compiled_once_whatever_it_is_given():
    twice = part_of_loops("int64(int64)")(lambda number: 2 * number)
    loop = compiled("int64(int32, int64)")(lambda one, other: twice(one) + twice(other) + twice(7))
    assert loop(1, 2) == 20
    assert list(twice.machine_code.overloads) == [(types.int64,)]


def test_from_python_a_part_of_loops_is_the_plain_function():
    assert part_of_loops("int64(int64)")(lambda number: 2 * number)(4.5) == 9.0


def test_without_a_folder_for_the_cache_loops_are_compiled_all_the_same(monkeypatch):
    monkeypatch.setattr(numba.core.caching.CompileResultCacheImpl, "_locator_classes", [])
    assert compiled("int64(int64)")(lambda number: 3 * number)(2) == 6


def test_a_full_disk_does_not_stop_compiling(monkeypatch):
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, "save", full)
    assert compiled("int64(int64)")(lambda number: 5 * number)(2) == 10


def test_code_is_kept_until_a_source_beside_it_changes_and_compiling_is_announced(tmp_path):
    (tmp_path / "loop.py").write_text(LOOP)
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    environment = os.environ | {"PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    said = []
    for step in (1, 1, 5):
        (tmp_path / "helper.py").write_text(HELPER.format(step=step))
        done = subprocess.run(
            [sys.executable, tmp_path / "loop.py"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        said.append((done.stdout.strip(), done.stderr.count("Compiling")))
    assert said == [("2", 1), ("2", 0), ("10", 1)]


def test_kept_loops_are_ready_in_a_new_process_without_all_that_numba_compiles_with():
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", EVERY_LOOP], capture_output=True, text=True, check=True
        )
    assert (done.stdout, done.stderr) == ("[[True, True, False]] False\n", "")
