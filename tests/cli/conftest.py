from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from cli_inputs import ROOT, make_card, write_card, write_scene
from odc.geo.geobox import GeoBox

from geoconvlora.adapters import attach
from geoconvlora.sam import build_segmenter
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector import MapPolygons, PolygonOptions
from geoconvlora.weights import read_card, save_model

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compact segmenter with random weights."""
    torch.manual_seed(0)
    network = build_segmenter("vit_t", classes=2)
    attach(network.encoder, "full")
    return save_model(tmp_path_factory.mktemp("model") / "test.safetensors", network, make_card())


@pytest.fixture
def card_file(tmp_path: Path) -> Callable[..., Path]:
    """Write such a file in the test's folder."""

    def write(**changes: Any) -> Path:
        return write_card(tmp_path / "card.safetensors", **changes)

    return write


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene of 80 x 100 pixels with three bands and a nodata corner."""
    return write_scene(tmp_path / "scene.tif")


@pytest.fixture(scope="session")
def compiled() -> None:
    """Have the polygon engine's loops compiled: doing so is said on stderr, once, by whoever does.

    Which test comes first must not matter to those that ask for an empty stderr.
    """
    card = read_card("fields")
    grid = GeoBox((8, 8), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
    options = PolygonOptions(min_area_m2=150, min_area_to="neighbour", fill_holes_m2=150)
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], (8, 8)).transpose(2, 0, 1)
    for rule in (None, card.instances):
        polygons = MapPolygons(
            geobox=grid, classes=card.classes, rule=rule, options=options, origin=Origin("")
        )
        polygons.feed(probabilities.astype(np.float32), np.ones((8, 8), bool))
        polygons.finish()


@pytest.fixture
def run(tmp_path: Path, compiled: None) -> Run:
    """Run the command line as its own process, in the test's folder."""

    def call(*arguments: object, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *python, "-m", "geoconvlora", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )

    return call
