"""Probabilities of a scene on disk."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from geoconvlora.inference.map_store import MapStore, is_whole
from geoconvlora.inference.rows import MapRows

GRID = GeoBox((96, 80), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631")


def write(path: Path) -> None:
    noise = np.random.default_rng(1).random((3, 96, 80), np.float32)
    with MapStore(path, GRID, 3) as store:
        for row in range(0, 96, 32):
            store.feed(MapRows(row, noise[:, row : row + 32], np.ones((32, 80), bool)))


def test_whole_is_what_has_all_its_strips(tmp_path) -> None:
    path = tmp_path / "store.tif"
    assert not is_whole(path)
    write(path)
    assert is_whole(path)
    content = path.read_bytes()
    for kept in (len(content) - 1, len(content) // 2, 10, 0):
        path.write_bytes(content[:kept])
        assert not is_whole(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files")
def test_a_disk_that_is_full_at_the_last_moment_is_told(tmp_path) -> None:
    write(tmp_path / "whole.tif")
    size = (tmp_path / "whole.tif").stat().st_size
    script = f"""
        import resource, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from geoconvlora.errors import OutputError
        from test_map_store import write
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit in range({size} - 40_000, {size}, 4_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                write(Path({str(tmp_path / "cut.tif")!r}))
            except OutputError as error:
                assert "is the disk full?" in str(error), error
            else:
                sys.exit(f"no error at {{limit}} of {size} bytes")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
