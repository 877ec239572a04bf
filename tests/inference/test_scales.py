"""A network that sees tiles at several sizes."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray
import torch
from networks import convolution
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

import geoconvlora
from geoconvlora.inference.network import predict_tiles
from geoconvlora.inference.scales import WEIGHT_OF_REDUCED, probabilities
from geoconvlora.inference.task import Scales

CPU = torch.device("cpu")
OBJECTS = (1, 2)


class BySize(nn.Module):
    """Gives the same probabilities everywhere, by the width of what it sees."""

    def __init__(self, answers: dict[int, tuple[float, ...]]) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answer = torch.log(torch.tensor(self.answers[images.shape[-1]]))
        return answer[None, :, None, None].expand(len(images), -1, *images.shape[2:])


def joined(answers: dict[int, tuple[float, ...]], scales: Scales) -> np.ndarray:
    found = probabilities(BySize(answers), torch.zeros(2, 3, 32, 32), scales).numpy()
    assert found.shape[0] == 2
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found.min(axis=(0, 2, 3)), found.max(axis=(0, 2, 3)), atol=1e-6)
    return found[0, :, 0, 0]


def test_classes_are_the_mean_over_sizes() -> None:
    answers = {32: (0.8, 0.1, 0.1), 16: (0.2, 0.5, 0.3)}
    np.testing.assert_allclose(joined(answers, Scales((1, 2))), (0.5, 0.3, 0.2), atol=1e-6)


@pytest.mark.parametrize("seen_at", [32, 16])
def test_an_object_that_one_size_shows_is_there(seen_at: int) -> None:
    answers = dict.fromkeys((32, 16), (0.9, 0.05, 0.05)) | {seen_at: (0.1, 0.88, 0.02)}
    background, interior, boundary = joined(answers, Scales((1, 2), OBJECTS))
    assert background == pytest.approx(0.1, abs=1e-5)
    assert interior > 0.7
    assert boundary < 0.2


def test_boundaries_of_the_fine_view_weigh_most() -> None:
    answers = {32: (0.0001, 0.2, 0.7999), 16: (0.0001, 0.7999, 0.2)}
    _, interior, boundary = joined(answers, Scales((1, 2), OBJECTS))
    assert boundary == pytest.approx(
        (0.8 + WEIGHT_OF_REDUCED * 0.2) / (1 + WEIGHT_OF_REDUCED), abs=1e-3
    )
    assert interior == pytest.approx(1 - boundary, abs=1e-3)


def test_other_classes_share_what_objects_leave() -> None:
    answers = {32: (0.6, 0.05, 0.05, 0.3), 16: (0.3, 0.3, 0.1, 0.3)}
    found = joined(answers, Scales((1, 2), OBJECTS))
    np.testing.assert_allclose(found[[0, 3]], (0.4, 0.2), atol=1e-5)


def test_one_size_is_the_network_alone() -> None:
    tiles = np.random.default_rng(0).random((2, 3, 32, 32)).astype(np.float32)
    network = convolution()
    alone, _ = predict_tiles(network, tiles, CPU, scales=Scales())
    with torch.inference_mode():
        expected = torch.softmax(network(torch.from_numpy(tiles)), dim=1)
    np.testing.assert_array_equal(alone, expected.numpy())
    both, _ = predict_tiles(network, tiles, CPU, scales=Scales((1, 2)))
    assert not np.allclose(alone, both)


def test_reduced_views_lie_where_the_tile_does() -> None:
    class Ramp(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.cat([images, -images], dim=1)

    ramp = torch.linspace(-1, 1, 32).expand(1, 1, 32, 32)
    alone = probabilities(Ramp(), ramp, Scales())
    both = probabilities(Ramp(), ramp, Scales((1, 2)))
    inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(both[inside], alone[inside], atol=1e-3)


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_reduced_views_are_interpolated_between_pixels(factor: int) -> None:
    class Squares(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.cat([images**2, images], dim=1)

    seen = torch.rand(2, 1, 48, 72, generator=torch.Generator().manual_seed(0))
    reduced = torch.softmax(Squares()(avg_pool2d(seen, factor)), dim=1)
    expected = interpolate(reduced, scale_factor=factor, mode="bilinear", align_corners=False)
    found = 2 * probabilities(Squares(), seen, Scales((1, factor))) - probabilities(
        Squares(), seen, Scales()
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["plain", "workers", "array"])
def test_every_way_of_mapping_sees_all_sizes(
    make_model, write_scene, patchwork, tmp_path, mode
) -> None:
    scene = write_scene(patchwork)
    network = convolution()
    one = make_model(network, name="one", tile_size=64)
    two = make_model(network, name="two", tile_size=64, reductions=(1, 2))
    geoconvlora.predict(scene, [], model=one, probs=tmp_path / "one.tif")
    geoconvlora.predict(scene, [], model=two, probs=tmp_path / "two.tif")
    expected = rioxarray.open_rasterio(tmp_path / "two.tif").values
    assert not np.allclose(
        expected, rioxarray.open_rasterio(tmp_path / "one.tif").values, atol=0.01
    )
    if mode == "workers":
        geoconvlora.predict(scene, [], model=two, probs=tmp_path / "w.tif", workers=2)
        np.testing.assert_array_equal(rioxarray.open_rasterio(tmp_path / "w.tif").values, expected)
    if mode == "array":
        found = geoconvlora.predict_array(rioxarray.open_rasterio(scene), model=two)
        np.testing.assert_allclose(found.probabilities.values, expected, atol=1e-3)


def test_the_card_says_at_which_sizes(make_model) -> None:
    model = make_model(reductions=(1, 2), tile_size=64)
    assert model.card.multiple == 32
    assert Scales.of(model.card) == Scales((1, 2))
    for wrong, message in (((2, 1), "first must be 1"), ((1, 2, 2), "differ"), ((1, 9), "8")):
        with pytest.raises(ValidationError, match=message):
            make_model(reductions=wrong, tile_size=64)
    with pytest.raises(ValidationError, match="tile_size 48 is not a multiple of 32"):
        make_model(reductions=(1, 2), tile_size=48)
