"""Real and hostile oddities: right pixels or one clear error, soon and in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ODD = Path(os.environ.get("GEOCONVLORA_DATA", ROOT.parent / "shared" / "data")) / "odd"

pytestmark = pytest.mark.skipif(
    not ODD.is_dir(), reason="no folder of odd rasters: set GEOCONVLORA_DATA"
)

OPEN_AND_READ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from geoconvlora.errors import GeoConvLoRAError
from geoconvlora.scenes import Window, fit_normaliser, open_scene
from geoconvlora.weights.card import Band, Scaling
from peak_memory import peak_memory_mb

for path in sys.argv[1:]:
    try:
        with open_scene(path) as scene:
            bands = [Band(name=name, mean=0, std=1) for name in scene.band_names]
            normalise = fit_normaliser(Scaling(kind="percentile"), bands, scene)
            for row in range(0, scene.height, 1024):
                values = normalise(scene.read(Window(row, 0, 1024, scene.width)))
                assert (values == values).all()
        print("read", path.rsplit("/")[-1])
    except GeoConvLoRAError as error:
        assert path in str(error), error
        print("refused", path.rsplit("/")[-1])
print("peak", peak_memory_mb())
"""


def outcome(folder: str) -> tuple[dict[str, str], float]:
    files = sorted(str(p) for p in (ODD / folder).iterdir() if p.suffix in {".tif", ".tiff"})
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OPEN_AND_READ, *files],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: verdict for verdict, name in lines[:-1]}, float(lines[-1][1])


def test_hostile_files_are_refused_in_little_memory() -> None:
    found, peak_mb = outcome("hostile")
    assert {name for name, verdict in found.items() if verdict == "read"} == set()
    assert peak_mb < 1000


def test_real_scenes_are_read_unless_they_have_no_place() -> None:
    found, _ = outcome("real")
    assert {name for name, verdict in found.items() if verdict == "refused"} <= {
        "rasterio_float_nan.tif",
        "rasterio_rotated.tif",
        "riotiler_cog_cmap.tif",
        "riotiler_cog_gcps_ovr.tif",
    }


def test_special_files_are_read_or_refused() -> None:
    found, _ = outcome("special")
    for name in ("utmsmall.tif", "geomatrix.tif", "nan32_nodata.tif", "oddsize_1bit2b.tif"):
        assert found.get(name) == "read"
    for name in ("byte_rpc.tif", "sstgeo.tif"):
        assert found.get(name) == "refused"
    contradicted = "byte_inconsistent_georef.tif"
    side_file = ODD / "special" / f"{contradicted}.aux.xml"  # without it, the TIFF is plain UTM
    assert found.get(contradicted) == ("refused" if side_file.exists() else "read")
