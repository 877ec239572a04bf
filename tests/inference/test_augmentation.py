from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from networks import convolution
from torch import nn

from geoconvlora.errors import ConfigError
from geoconvlora.inference import predict
from geoconvlora.inference.network import predict_tiles
from geoconvlora.inference.task import Scales

CPU = torch.device("cpu")


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


class Edge(nn.Module):
    """Says one class in the left half of what it sees and another in the right one."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(images.shape[0], 2, *images.shape[2:])
        half = images.shape[3] // 2
        logits[:, 0, :, :half] = 99
        logits[:, 1, :, half:] = 99
        return logits


@pytest.mark.parametrize("tta", ["flips", "d4"])
def test_views_of_a_network_without_orientation_change_nothing(
    make_model, write_scene, patchwork, tmp_path, tta
) -> None:
    scene, model = write_scene(patchwork), make_model()
    for name in ("none", tta):
        paths = [tmp_path / f"{name}_p.tif", tmp_path / f"{name}_u.tif"]
        predict(scene, [], model=model, probs=paths[0], uncertainty=paths[1], tta=name)
    assert read(tmp_path / f"{tta}_p.tif").tobytes() == read(tmp_path / "none_p.tif").tobytes()
    assert not read(tmp_path / f"{tta}_u.tif").any()


@pytest.mark.parametrize(("tta", "count"), [("flips", 4), ("d4", 8)])
def test_probabilities_are_the_mean_over_mirrored_and_rotated_tiles(tta, count) -> None:
    tiles = np.random.default_rng(0).random((2, 3, 32, 32)).astype(np.float32)
    network = convolution()
    mean, variance = predict_tiles(network, tiles, CPU, tta, scales=Scales(), spread=True)
    found = []
    for turn in range(4 if tta == "d4" else 2):
        turns = turn if tta == "d4" else 2 * turn
        for mirrored in (False, True):
            view = torch.rot90(torch.from_numpy(tiles), turns, (2, 3))
            view = view.flip(3) if mirrored else view
            with torch.no_grad():
                seen = torch.softmax(network(view), dim=1)
            seen = seen.flip(3) if mirrored else seen
            found.append(torch.rot90(seen, -turns, (2, 3)).numpy().astype(np.float64))
    assert len(found) == count
    np.testing.assert_allclose(mean, np.mean(found, axis=0), atol=1e-6)
    np.testing.assert_allclose(variance, np.var(found, axis=0).sum(axis=1) / 2, atol=1e-6)


def test_uncertainty_is_the_deviation_between_views(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    colors = ("#000000", "#00ff00")
    classes = [{"id": i, "name": str(i), "color": color} for i, color in enumerate(colors)]
    paths = tmp_path / "p.tif", tmp_path / "u.tif"
    predict(
        write_scene(patchwork[:, :32, :32]),
        [],
        model=make_model(Edge(), classes=classes),
        probs=paths[0],
        uncertainty=paths[1],
        tta="flips",
    )
    np.testing.assert_allclose(read(paths[0]), 0.5, atol=1e-4)
    np.testing.assert_allclose(read(paths[1]), 0.5, atol=1e-4)


def test_uncertainty_is_the_weighted_deviation_between_overlapping_tiles(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    """Two tiles share 16 columns, of which the first says class 1 and the second class 0."""
    colors = ("#000000", "#00ff00")
    classes = [{"id": i, "name": str(i), "color": color} for i, color in enumerate(colors)]
    paths = tmp_path / "p.tif", tmp_path / "u.tif"
    predict(
        write_scene(patchwork[:, :32, :48]),
        [],
        model=make_model(Edge(), classes=classes),
        probs=paths[0],
        uncertainty=paths[1],
        overlap=16,
    )
    first, second = read(paths[0])
    deviation = read(paths[1])[0]
    np.testing.assert_allclose(deviation, np.sqrt(first * second), atol=1e-3)
    assert not deviation[:, :16].any()
    assert not deviation[:, 32:].any()
    assert deviation.max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("blend", ["gaussian", "linear", "crop", "none"])
def test_every_blend_maps_every_pixel(make_model, write_scene, patchwork, tmp_path, blend) -> None:
    scene, model = write_scene(patchwork), make_model()
    predict(scene, tmp_path / "cosine.tif", model=model)
    predict(scene, tmp_path / "c.tif", model=model, blend=blend, overlap=20)
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), read(tmp_path / "cosine.tif"))


def test_a_model_maps_by_the_views_that_its_card_names(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    scene = write_scene(patchwork)
    plain, many = make_model(convolution()), make_model(convolution(), views="flips")
    for name, model, asked in (
        ("alone", plain, {}),
        ("flips", plain, {"tta": "flips"}),
        ("card", many, {}),
        ("none", many, {"tta": "none"}),
    ):
        predict(scene, [], model=model, probs=tmp_path / f"{name}.tif", **asked)
    found = {path.stem: read(path) for path in tmp_path.glob("*.tif") if path != Path(scene)}
    assert found["card"].tobytes() == found["flips"].tobytes()
    assert found["none"].tobytes() == found["alone"].tobytes()
    assert not np.array_equal(found["card"], found["none"])


@pytest.mark.parametrize("name", ["blend", "tta", "probs_dtype"])
def test_unknown_choices_are_refused(make_model, write_scene, patchwork, tmp_path, name) -> None:
    with pytest.raises(ConfigError, match=f"{name} 'x' is unknown: give"):
        predict(write_scene(patchwork), tmp_path / "c.tif", model=make_model(), **{name: "x"})
