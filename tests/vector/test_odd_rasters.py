"""Hostile files as class rasters: one clear error, soon and in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSTILE = Path(os.environ.get("GEOCONVLORA_DATA", ROOT.parent / "shared" / "data")) / "odd/hostile"

POLYGONIZE_EACH = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from geoconvlora.errors import GeoConvLoRAError
from geoconvlora.vector import polygonize

for path in sys.argv[2:]:
    try:
        polygonize(path, sys.argv[1])
        print("read", path)
    except GeoConvLoRAError as error:
        assert path in str(error), error
"""


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="no odd rasters: set GEOCONVLORA_DATA")
def test_hostile_files_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    files = sorted(HOSTILE.glob("*.tif"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", POLYGONIZE_EACH, tmp_path / "o.gpkg", *files],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
