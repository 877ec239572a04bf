"""What the pixels of a part are: each band's moments, and how many are of each class."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import LabelError, SceneError
from geoconvlora.scenes import Moments
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.data_config import IGNORE
from geoconvlora.training.samples import Pool, Sample
from geoconvlora.weights.card import Band


@dataclass(frozen=True)
class Survey:
    """Of the valid pixels of a part, each counted once."""

    moments: Moments
    """Of the scaled values, by band."""
    class_pixels: NDArray[np.int64]
    """(K,) labelled pixels of each class."""
    may_lack: frozenset[int] = frozenset()
    """Classes that need not occur: background, where labels are polygons that may cover all."""
    drawn: bool = False
    """Whether these are but some of endlessly many pixels."""

    @classmethod
    def of(
        cls, samples: Iterable[Sample], bands: int, classes: int, *, drawn: bool = False
    ) -> Survey:
        """Survey samples that hold each pixel once."""
        moments, counts = Moments(bands), np.zeros(classes, dtype=np.int64)
        # Values that overflow are told by their statistics.
        with np.errstate(over="ignore", invalid="ignore"):
            for sample in samples:
                moments.add(sample.image[:, sample.valid])
                counts += count_classes(sample, classes)
        return cls(moments, counts, drawn=drawn)

    @classmethod
    def joined(cls, surveys: Sequence[Survey], shares: Sequence[float]) -> Survey:
        """Of pixels that are drawn from each survey's with the given probability."""
        moments = Moments.mixed([survey.moments for survey in surveys], shares)
        counts = np.stack([survey.class_pixels for survey in surveys]).sum(axis=0)
        may_lack = frozenset().union(*(survey.may_lack for survey in surveys))
        return cls(moments, counts, may_lack, any(survey.drawn for survey in surveys))


class Surveyed:
    """A pool, together with the survey of the pixels that its samples are drawn from."""

    def __init__(self, pool: Pool, survey: Survey) -> None:
        self._pool = pool
        self.survey = survey

    def __len__(self) -> int:
        return len(self._pool)

    def draw(self, key: int) -> Sample:
        """The pool's sample."""
        return self._pool.draw(key)


def count_classes(sample: Sample, classes: int) -> NDArray[np.int64]:
    """(K,) pixels of a sample that are valid and of each class."""
    return np.bincount(sample.mask[sample.valid], minlength=IGNORE + 1)[:classes]


def measured_bands(config: TrainConfig, train: Survey) -> tuple[Band, ...]:
    """The bands with mean and standard deviation of the training pixels.

    Raises:
        SceneError: There is no valid pixel, or the statistics are not finite.

    Warns:
        UserWarning: A band is the same everywhere.
    """
    moments = train.moments
    if moments.count == 0:
        raise SceneError("the training images have no valid pixel: look at their nodata value")
    bands = []
    for band, mean, std in zip(config.bands, moments.mean, moments.std, strict=True):
        if not (np.isfinite(mean) and np.isfinite(std)):
            raise SceneError(
                f"the statistics of band {band.name!r} are not numbers (mean {mean:g}, standard "
                f"deviation {std:g}): its values overflow; look at its nodata value and at scaling"
            )
        if std <= 0:
            warnings.warn(
                f"band {band.name!r} is {mean:g} at all training pixels: it tells nothing",
                UserWarning,
                stacklevel=2,
            )
        bands.append(Band(name=band.name, mean=float(mean), std=float(std) if std > 0 else 1.0))
    return tuple(bands)


def check_classes(config: TrainConfig, train: Survey, val: Survey) -> None:
    """Refuse parts that cannot teach, or test, all classes.

    Args:
        config: Names the classes, and says whether to refuse or to warn.
        train: Of the training part.
        val: Of the validation part.

    Raises:
        LabelError: A part has no labels or those of a single class, or training lacks a class.

    Warns:
        UserWarning: The same, where the configuration says so.
    """
    if train.drawn or val.drawn:
        return
    mend = "take another split.seed or a smaller split.block_size_m, or label more"
    for part, survey in (("training", train), ("validation", val)):
        if not survey.class_pixels.any():
            raise LabelError(f"no valid pixel of the {part} part is labelled: {mend}")
    absent = set(np.flatnonzero(train.class_pixels == 0).tolist()) - train.may_lack
    if absent:
        names = ", ".join(repr(config.classes[index].name) for index in sorted(absent))
        _object(
            config,
            f"no pixel of the training part is of class {names}: {mend}, or leave the class out",
        )
    for part, survey in (("training", train), ("validation", val)):
        there = np.flatnonzero(survey.class_pixels)
        if len(there) == 1:
            name = config.classes[int(there[0])].name
            _object(config, f"all labelled pixels of the {part} part are of class {name!r}: {mend}")


def _object(config: TrainConfig, message: str) -> None:
    if config.split.absent_classes == "refuse":
        raise LabelError(f"{message}; split.absent_classes: warn goes on")
    warnings.warn(message, UserWarning, stacklevel=3)
