import numpy as np
import pytest

from geoconvlora.training.data_config import SyntheticConfig
from geoconvlora.training.samples import ChainedPool, EpochSampler, MixedPool, Sample
from geoconvlora.training.synthetic_pool import SyntheticPool


class Constant:
    """A pool whose every pixel is one value."""

    def __init__(self, value: int, length: int = 3) -> None:
        self.value, self.length = value, length

    def __len__(self) -> int:
        return self.length

    def draw(self, key: int) -> Sample:
        shape = (4, 4)
        image = np.full((1, *shape), self.value, dtype=np.float32)
        return Sample(image, np.zeros(shape, np.uint8), np.ones(shape, np.bool_))


def test_every_epoch_has_new_keys_whatever_came_before() -> None:
    sampler = EpochSampler(5)
    assert list(sampler) == [0, 1, 2, 3, 4]
    sampler.set_epoch(3)
    assert list(sampler) == list(sampler) == [15, 16, 17, 18, 19]


def test_mix_keeps_its_weights_and_depends_on_the_key_alone() -> None:
    mix = MixedPool([Constant(0), Constant(1)], [3, 1], seed=0, samples_per_epoch=10)
    values = [mix.draw(key).image[0, 0, 0] for key in range(2000)]
    assert np.mean(values) == pytest.approx(0.25, abs=0.04)
    assert values[100:110] == [mix.draw(key).image[0, 0, 0] for key in range(100, 110)]


def test_chain_has_all_samples_of_its_pools_in_order() -> None:
    chain = ChainedPool([Constant(0, 2), Constant(1, 3)])
    assert [chain.draw(key).image[0, 0, 0] for key in range(len(chain))] == [0, 0, 1, 1, 1]
    with pytest.raises(IndexError):
        chain.draw(5)


def test_synthetic_training_validation_and_other_runs_share_no_landscape() -> None:
    def first(seed: int, **part: bool) -> bytes:
        config = SyntheticConfig(kind="synthetic", seed=seed)
        return SyntheticPool(config, 32, **part).draw(0).image.tobytes()

    assert len({first(0), first(0, validation=True), first(1), first(1, validation=True)}) == 4
    assert first(1) == first(1)


def test_share_of_native_samples_has_the_sensors_own_pixels() -> None:
    def drawn(share: float, upscale: int = 2) -> list[bytes]:
        config = SyntheticConfig(kind="synthetic", native_share=share, upscale=upscale)
        return [SyntheticPool(config, 32).draw(key).image.tobytes() for key in range(12)]

    enlarged, native, mixed = drawn(0), drawn(1), drawn(0.5)
    assert native == drawn(0, upscale=1)
    assert set(mixed) <= {*enlarged, *native}
    assert 0 < sum(one in native for one in mixed) < len(mixed)
    assert mixed == drawn(0.5)
