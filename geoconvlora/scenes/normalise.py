"""From stored values to what the network was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import BandError, SceneError
from geoconvlora.scenes.moments import Moments
from geoconvlora.scenes.pixels import Pixels
from geoconvlora.scenes.sampling import row_windows, sample_valid_pixels
from geoconvlora.scenes.scene import Scene
from geoconvlora.weights.card import Band, Scaling


@dataclass(frozen=True, eq=False)
class Normaliser:
    """``values * gain + shift``, within bounds, and 0 where a pixel is invalid.

    Attributes:
        gain: ``(C,)``.
        shift: ``(C,)``.
        low: ``(C,)`` smallest result, -inf for none.
        high: ``(C,)`` largest result, inf for none.
    """

    gain: NDArray[np.float32]
    shift: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def __call__(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return normalised values ``(C, h, w)``."""
        values = pixels.values * self.gain[:, None, None]
        values += self.shift[:, None, None]
        if np.isfinite(self.low).any() or np.isfinite(self.high).any():
            np.clip(values, self.low[:, None, None], self.high[:, None, None], out=values)
        if not pixels.valid.all():
            values *= pixels.valid
        return values


def fit_normaliser(scaling: Scaling, bands: Sequence[Band], scene: Scene) -> Normaliser:
    """Return the normalisation of one scene for a model.

    ``percentile`` scaling looks at a deterministic sample of the scene's valid pixels, never at
    the part that is being predicted. A band that is constant there says nothing and becomes its
    mean, which the network sees as 0.

    Args:
        scaling: The model card's rule from stored values to scaled ones.
        bands: Means and standard deviations of scaled values, one for each band of the scene.
        scene: Opened with the model's bands.

    Raises:
        BandError: The numbers of bands differ.
        SceneError: The scene cannot be read.

    Example:
        >>> fit_normaliser(card.scaling, card.bands, scene)(scene.read(window))  # doctest: +SKIP
    """
    if len(bands) != len(scene.bands):
        raise BandError(
            f"{scene.path} is read in {len(scene.bands)} bands; the model wants {len(bands)}"
        )
    scale, offset = scale_and_offset(scaling, scene)
    mean = np.array([band.mean for band in bands])
    std = np.array([band.std for band in bands])
    silent = scale == 0
    low, high = (-np.inf, np.inf) if scaling.clip is None else scaling.clip
    return Normaliser(
        gain=(scale / std).astype(np.float32),
        shift=np.where(silent, 0, (offset - mean) / std).astype(np.float32),
        low=np.where(silent, 0, (low - mean) / std).astype(np.float32),
        high=np.where(silent, 0, (high - mean) / std).astype(np.float32),
    )


def scale_and_offset(
    scaling: Scaling, scene: Scene
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``(C,)`` scale and offset so that ``stored * scale + offset`` is the scaled value.

    A band without contrast gets scale 0.

    Raises:
        SceneError: The scene cannot be read.
    """
    count = len(scene.bands)
    if scaling.kind == "linear":
        return np.full(count, scaling.scale), np.full(count, scaling.offset)
    sample = sample_valid_pixels(scene).astype(np.float64)
    if sample.shape[1] == 0:
        return np.zeros(count), np.zeros(count)
    low, high = np.percentile(sample, [scaling.low, scaling.high], axis=1)
    # A band that is nearly everywhere the same is stretched over all that it has.
    flat = high <= low
    low = np.where(flat, sample.min(axis=1), low)
    high = np.where(flat, sample.max(axis=1), high)
    span = high - low
    scale = np.divide(1.0, span, out=np.zeros(count), where=span > 0)
    return scale, -low * scale


def band_statistics(
    scenes: Iterable[Scene], scaling: Scaling
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation ``(C,)`` of the scaled values of all valid pixels.

    Scenes are read once, in bands of rows. A band without spread gets a standard deviation of 1.

    Raises:
        SceneError: A scene cannot be read, or no scene has a valid pixel.
        BandError: The scenes differ in their number of bands.
    """
    moments: Moments | None = None
    for scene in scenes:
        scale, offset = scale_and_offset(scaling, scene)
        if moments is None:
            moments = Moments(len(scene.bands))
        if len(scene.bands) != moments.bands:
            raise BandError(
                f"{scene.path} has {len(scene.bands)} bands, the scenes before it {moments.bands}"
            )
        for window in row_windows(scene):
            pixels = scene.read(window)
            values = pixels.values[:, pixels.valid] * scale[:, None] + offset[:, None]
            moments.add(values if scaling.clip is None else values.clip(*scaling.clip))
    if moments is None or moments.count == 0:
        raise SceneError("no scene has a valid pixel to take statistics from")
    return moments.mean, np.where(moments.std > 0, moments.std, 1.0)
