"""Training samples that the landscape generator draws, each seen once."""

from __future__ import annotations

import numpy as np

from geoconvlora.training.data_config import SyntheticConfig
from geoconvlora.training.samples import Sample

_KEYS = 2**44
"""Seeds of one run; the run's own number stands above them."""
_VALIDATION = 2**43
"""Seeds of validation samples start here, far above any training key."""


class SyntheticPool:
    """Landscapes by key. Seeds of training, of validation and of other runs never meet."""

    def __init__(
        self,
        config: SyntheticConfig,
        size: int,
        *,
        validation: bool = False,
    ) -> None:
        self._first_seed = config.seed * _KEYS + (_VALIDATION if validation else 0)
        self._length = config.val_samples if validation else config.samples_per_epoch
        self._size = size
        self._config = config

    def __len__(self) -> int:
        return self._length

    def draw(self, key: int) -> Sample:
        """The landscape of this key; every pixel of it is valid."""
        from geoconvlora.synthetic import training_sample

        seed = self._first_seed + key
        native = np.random.default_rng([seed, 0x5CA1E]).random() < self._config.native_share
        image, mask = training_sample(
            seed,
            self._size,
            upscale=1 if native else self._config.upscale,
            wilderness=self._config.wilderness,
            overcast=self._config.overcast,
            barren=self._config.barren,
            lakes=self._config.lakes,
            plots=self._config.plots,
        )
        return Sample(image, mask, np.ones(mask.shape, dtype=np.bool_))
