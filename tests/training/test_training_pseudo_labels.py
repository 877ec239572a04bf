"""Labels for self-training: only what the model is sure of, by bounds for each class."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

SCRIPT = Path(__file__).parents[2] / "scripts" / "pseudo_labels.py"
NAMES = ("background", "field", "boundary")


@pytest.fixture
def probabilities(tmp_path: Path) -> Path:
    """A sure field, an unsure one, a boundary, background, and a pixel without data."""
    shares = np.array(
        [[5, 90, 5], [30, 60, 10], [30, 28, 42], [85, 10, 5], [255, 255, 255]], np.uint8
    ).T[:, None, :]
    path = tmp_path / "probs.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, dtype="uint8", height=1, width=5, nodata=255,
        crs="EPSG:32631", transform=Affine(10, 0, 5e5, 0, -10, 5.6e6),
    ) as file:  # fmt: skip
        file.write(shares)
        file.descriptions = NAMES
        file.scales = (0.01,) * 3
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_only_sure_pixels_get_labels(probabilities: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.tif"
    done = run(probabilities, labels, "--least", "background=0.8", "field=0.8", "boundary=0.4")
    assert done.returncode == 0, done.stderr
    with rasterio.open(labels) as file:
        assert file.read(1).tolist() == [[1, 255, 2, 0, 255]]
        assert file.crs.to_epsg() == 32631
    assert "not sure: 40.0%" in done.stdout


def test_classes_without_a_bound_are_never_sure(probabilities: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.tif"
    assert run(probabilities, labels, "--least", "field=0.5").returncode == 0
    with rasterio.open(labels) as file:
        assert file.read(1).tolist() == [[1, 1, 255, 255, 255]]


def test_an_unknown_class_is_an_error(probabilities: Path, tmp_path: Path) -> None:
    done = run(probabilities, tmp_path / "labels.tif", "--least", "meadow=0.5")
    assert done.returncode == 2
    assert "meadow is no class: background, field, boundary" in done.stderr
    assert not (tmp_path / "labels.tif").exists()
