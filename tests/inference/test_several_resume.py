"""Runs over several scenes that are broken off, and gone on with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import Failing, convolution
from rasterio.transform import Affine

from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.inference import Joining, predict


@pytest.fixture
def scenes(write_scene, patchwork) -> list[Path]:
    """Three that overlap."""
    return [
        write_scene(
            np.roll(patchwork, i, axis=2),
            name=f"{i}.tif",
            transform=Affine(10, 0, 600_000 + 900 * i, 0, -10, 5_600_000),
        )
        for i in range(3)
    ]


def outputs(folder: Path) -> list[Path]:
    return [folder / "c.tif", folder / "c.gpkg"]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("calls", [8, 25, 60])
def test_broken_run_gone_on_with_gives_the_bytes_of_an_unbroken_one(
    make_model, scenes, tmp_path, calls
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    model = make_model()
    predict(scenes, outputs(whole), model=model, batch_size=1)
    network, model.network.seen = model.network, []
    model = type(model)(model.card, Failing(network, calls, ValueError))
    with pytest.raises(ValueError, match="as asked for"):
        predict(scenes, outputs(broken), model=model, batch_size=1, resume=True)
    assert names(broken) == {".c.gpkg.run"}
    model.network.calls, network.seen = 10_000, []
    predict(scenes, outputs(broken), model=model, batch_size=1, resume=True)
    # A row of tiles at most is mapped again.
    assert len(network.seen) <= 3 * 4 * 6 - calls + 6
    for one, other in zip(outputs(whole), outputs(broken), strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert names(broken) == {"c.tif", "c.gpkg"}


def test_other_scenes_or_options_are_refused(make_model, scenes, tmp_path) -> None:
    model = make_model()
    broken = type(model)(model.card, Failing(model.network, 40, ValueError))
    out = tmp_path / "c.gpkg"
    with pytest.raises(ValueError, match="as asked for"):
        predict(scenes, out, model=broken, batch_size=1, resume=True)
    with pytest.raises(OutputError, match="go on with --resume"):
        predict(scenes, out, model=broken, batch_size=1)
    for changed, says in (
        ({"joining": Joining(merge="max")}, "joining was"),
        ({"scenes": scenes[:2]}, "scenes was"),
        ({"tile_size": 64}, "tile size of 0 was 32, is 64"),
    ):
        arguments = {"scenes": scenes, "batch_size": 1, "resume": True, **changed}
        with pytest.raises(ConfigError, match=says):
            predict(out=out, model=broken, **arguments)
    predict(scenes, out, model=model, overwrite=True)
    assert names(tmp_path) == {"0.tif", "1.tif", "2.tif", "c.gpkg"}


@pytest.mark.slow
def test_workers_change_no_byte(make_model, scenes, tmp_path) -> None:
    seen = set()
    for workers in (1, 2):
        predict(
            *(scenes[:2], outputs(tmp_path)),
            **{
                "model": make_model(convolution()),
                "workers": workers,
                "device": "cpu",
                "overwrite": True,
            },
        )
        seen.add(tuple(path.read_bytes() for path in outputs(tmp_path)))
    assert len(seen) == 1


def test_uncertainty_is_of_one_scene(make_model, scenes, tmp_path) -> None:
    with pytest.raises(ConfigError, match="belongs to one scene"):
        predict(scenes, tmp_path / "c.tif", model=make_model(), uncertainty=tmp_path / "u.tif")


def test_a_map_of_a_scene_that_was_cut_short_is_made_again(make_model, scenes, tmp_path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    model = make_model()
    predict(scenes, outputs(whole), model=model)
    network = model.network
    model = type(model)(model.card, Failing(network, 3 * 4 * 6 - 2, ValueError))
    with pytest.raises(ValueError, match="as asked for"):
        predict(scenes, outputs(broken), model=model, batch_size=1, resume=True)
    first = broken / ".c.gpkg.run" / "000000.tif"
    first.write_bytes(first.read_bytes()[:-4000])
    model.network.calls = 10_000
    predict(scenes, outputs(broken), model=model, batch_size=1, resume=True)
    for one, other in zip(outputs(whole), outputs(broken), strict=True):
        assert one.read_bytes() == other.read_bytes()
