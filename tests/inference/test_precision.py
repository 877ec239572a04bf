"""Maps in bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray
import torch
from networks import Failing, convolution

import geoconvlora
from geoconvlora.errors import ConfigError
from geoconvlora.hardware import has_bf16
from geoconvlora.inference import network as network_module
from geoconvlora.inference.network import Hardware, place
from geoconvlora.inference.task import precision_of

CPU = torch.device("cpu")


@pytest.fixture
def with_units(monkeypatch):
    """Say whether processors have units for bfloat16; those without emulate it."""

    def choose(there: bool) -> None:
        monkeypatch.setattr(network_module, "has_bf16", lambda kind, index: there and kind == "cpu")

    return choose


def probabilities(scene, model, path, **options):
    geoconvlora.predict(scene, [], model=model, probs=path, **options)
    return rioxarray.open_rasterio(path).values


def test_the_card_decides_and_the_option_beats_it(make_model) -> None:
    plain, allowed = make_model().card, make_model(precision="bf16").card
    assert [precision_of(plain, asked) for asked in ("auto", "32", "bf16")] == ["32", "32", "bf16"]
    assert [precision_of(allowed, asked) for asked in ("auto", "32", "bf16")] == [
        "auto",
        "32",
        "bf16",
    ]


def test_auto_takes_what_the_hardware_has(with_units) -> None:
    with_units(False)
    assert Hardware.of(CPU, "auto") == ("cpu", False)
    with_units(True)
    assert Hardware.of(CPU, "auto") == ("cpu", True)
    assert str(Hardware.of(CPU, "auto")) == "cpu in bfloat16"
    assert str(Hardware.of(CPU, "32")) == "cpu"
    assert Hardware.of(torch.device("mps"), "auto") == ("mps", False)


def test_a_network_in_bfloat16_gives_float32(with_units) -> None:
    with_units(True)
    network, _ = place(convolution(), "cpu", "bf16")
    exact, _ = place(convolution(), "cpu", "32")
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found, expected = network(images), exact(images)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.03)


def test_maps_in_bfloat16_are_nearly_those_in_float32(
    make_model, write_scene, patchwork, tmp_path, with_units
) -> None:
    scene, model = write_scene(patchwork), make_model(convolution(), precision="bf16")
    with_units(True)
    half = probabilities(scene, model, tmp_path / "auto.tif")
    full = probabilities(scene, model, tmp_path / "32.tif", precision="32")
    assert 0 < np.nanmax(np.abs(half - full)) < 0.02
    array = geoconvlora.predict_array(rioxarray.open_rasterio(scene), model=model)
    np.testing.assert_allclose(array.probabilities.values, half, atol=1e-4)
    with_units(False)
    np.testing.assert_array_equal(probabilities(scene, model, tmp_path / "none.tif"), full)


def test_workers_compute_as_one_process_does(make_model, write_scene, patchwork, tmp_path) -> None:
    if not has_bf16("cpu"):
        pytest.skip("this processor has no units for bfloat16")
    scene, model = write_scene(patchwork), make_model(convolution(), precision="bf16")
    half = probabilities(scene, model, tmp_path / "1.tif")
    np.testing.assert_array_equal(probabilities(scene, model, tmp_path / "2.tif", workers=2), half)
    full = probabilities(scene, model, tmp_path / "32.tif", precision="32", workers=2)
    assert np.nanmax(np.abs(full - half)) > 0


def test_numbers_are_taken_for_their_names(make_model) -> None:
    card = make_model(precision=32).card
    assert card.precision == "32"
    assert precision_of(card, 32) == "32"


@pytest.mark.parametrize("dry_run", [False, True])
def test_bfloat16_without_units_is_refused(
    make_model, write_scene, patchwork, tmp_path, with_units, dry_run
) -> None:
    with_units(False)
    scene, model = write_scene(patchwork), make_model()
    with pytest.raises(
        ConfigError, match="precision bf16: no units for bfloat16 are known of this machine's cpu"
    ):
        geoconvlora.predict(
            scene, tmp_path / "p.tif", model=model, precision="bf16", dry_run=dry_run
        )
    assert not (tmp_path / "p.tif").exists()


def test_an_unknown_precision_is_refused(make_model, write_scene, patchwork, tmp_path) -> None:
    with pytest.raises(ConfigError, match="precision '64' is unknown: give 'auto', '32' or 'bf16'"):
        probabilities(write_scene(patchwork), make_model(), tmp_path / "p.tif", precision="64")


def test_what_one_precision_began_another_does_not_finish(
    make_model, write_scene, patchwork, tmp_path, with_units
) -> None:
    """Neither by option, nor on other hardware."""
    scene = write_scene(patchwork)

    def model(calls: int):
        return make_model(Failing(convolution(), calls, ValueError), precision="bf16")

    def again(**options: object):
        return probabilities(scene, model(1000), tmp_path / "p.tif", resume=True, **options)

    with_units(True)
    with pytest.raises(ValueError, match="as asked for"):
        probabilities(scene, model(5), tmp_path / "p.tif", resume=True)
    with pytest.raises(ConfigError, match=r"cannot be resumed.*device"):
        again(precision="32")
    with_units(False)
    with pytest.raises(ConfigError, match=r"cannot be resumed.*device"):
        again()
    with_units(True)
    again()
