"""What a run trains on: the sources of labelled pixels, and how the ground is parted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from geoconvlora.weights.card import Finite, Scaling

IGNORE = 255
"""Mask value of pixels outside the loss and the metrics: invalid, or not labelled."""

Overlaps = Literal["smaller", "larger", "later", "earlier", "priority"]


class TilesConfig(Finite):
    """Folders of image tiles and label tiles; a pair has one stem, labels hold class ids.

    Tiles larger than ``tile_size`` are cropped, smaller ones are padded with invalid pixels.
    """

    kind: Literal["tiles"]
    images: Path
    labels: Path
    pattern: str = "*"
    """Which rasters of the image folder count."""
    label_suffix: str = ""
    """What a label's stem has after its image's stem, such as ``_mask``."""
    bands: tuple[int, ...] | None = None
    """1-based bands of the images in the order of ``bands``; None: found by name."""
    val_images: Path | None = None
    val_labels: Path | None = None
    """Folders for validation; None: a share of the tiles, see ``split``."""
    label_values: dict[int, int] | None = None
    """From the labels' values to class ids, such as ``{0: 0, 255: 1}``; None: values are ids."""
    train_tiles: tuple[str, ...] | None = Field(default=None, min_length=1)
    val_tiles: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Stems of the image tiles of the two parts; None: as ``split`` parts all tiles."""
    samples_per_epoch: int | None = Field(default=None, ge=1)
    """None: every training tile once."""

    @model_validator(mode="after")
    def _both_or_none(self) -> TilesConfig:
        if (self.val_images is None) != (self.val_labels is None):
            raise ValueError("val_images and val_labels go together")
        if (self.train_tiles is None) != (self.val_tiles is None):
            raise ValueError("train_tiles and val_tiles go together")
        common = set(self.train_tiles or ()) & set(self.val_tiles or ())
        if common and self.val_images is None:
            raise ValueError(f"tile {min(common)} is both for training and for validation")
        return self


class SceneLabels(Finite):
    """One place: its scene, or several time steps of it, and what labels it."""

    image: Path | Annotated[tuple[Path, ...], Field(min_length=1)]
    """A raster; or rasters on one grid, time steps say, whose bands are stacked in this order."""
    labels: Path
    """Polygons, or a raster of class ids on any grid."""
    label_layer: str | None = None
    """Layer of the vector file; None: the only one."""
    label_column: str | None = None
    """Column with each polygon's class; None: every polygon is of class 1 (or an object)."""
    class_map: dict[str, str | None] = Field(default_factory=dict)
    """From the values of the column or the raster to class names, where they differ; null: such
    pixels are ignored."""
    extent: Path | None = None
    """Polygons within which the labels are complete; pixels outside are ignored."""
    extent_layer: str | None = None
    bands: tuple[int, ...] | None = None
    """1-based bands of each image in the order of ``bands``; None: found by name."""
    nodata: float | None = None
    scaling: Scaling | None = None
    """Where this scene's values are stored otherwise than the other scenes': another offset, say.
    None: the run's ``scaling``."""

    @property
    def images(self) -> tuple[Path, ...]:
        """The rasters, also where there is but one."""
        return (self.image,) if isinstance(self.image, Path) else self.image

    @property
    def name(self) -> str:
        """What messages call the scene."""
        return " + ".join(map(str, self.images))


class ScenesConfig(Finite):
    """Scenes with their labels; windows are drawn from each part of the split."""

    kind: Literal["scenes"]
    scenes: tuple[SceneLabels, ...] = Field(min_length=1)
    all_touched: bool = False
    """Burn every pixel that a polygon touches, not only those whose centre it covers."""
    overlaps: Overlaps = "smaller"
    """Which of overlapping polygons counts: the ``smaller`` or ``larger`` one, the ``later`` or
    ``earlier`` one in the file, or the one with the highest ``priority_column``."""
    priority_column: str | None = None
    boundary_width_m: float | None = Field(default=None, gt=0)
    """Width of the boundary class inside an object's outline, in metres."""
    boundary_width_px: int | None = Field(default=None, ge=1)
    """The same in pixels of the network; neither: one pixel."""
    sampling: Literal["random", "grid", "balanced"] = "random"
    """``random``: windows anywhere in the training part. ``grid``: windows in rows and columns,
    each once a round. ``balanced``: every class is looked for equally often."""
    overlap: int = Field(default=0, ge=0)
    """Pixels that neighbouring windows of the ``grid`` share."""
    empty_windows: float = Field(default=1.0, ge=0, le=1)
    """Share that is kept of the windows that hold nothing but background."""
    samples_per_epoch: int | None = Field(default=None, ge=1)
    """None: all windows of the ``grid``, else 1000."""
    val_samples: int | None = Field(default=None, ge=1)
    """Validation windows at most, spread evenly; None: all that tile the validation blocks."""

    @model_validator(mode="after")
    def _consistent(self) -> ScenesConfig:
        if (self.overlaps == "priority") != (self.priority_column is not None):
            raise ValueError("overlaps: priority and priority_column go together")
        if self.boundary_width_m is not None and self.boundary_width_px is not None:
            raise ValueError("give boundary_width_m or boundary_width_px, not both")
        if self.overlap and self.sampling != "grid":
            raise ValueError(f"overlap is for sampling: grid, not {self.sampling}")
        return self


class SyntheticConfig(Finite):
    """Landscapes that :mod:`geoconvlora.synthetic` draws; no sample is ever repeated."""

    kind: Literal["synthetic"]
    seed: int = Field(default=0, ge=0, lt=2**16)
    """Runs with different seeds see different landscapes."""
    samples_per_epoch: int = Field(default=2000, ge=1)
    val_samples: int = Field(default=128, ge=1)
    upscale: int = Field(default=2, ge=1)
    """Network pixels along a sensor pixel."""
    native_share: float = Field(default=0.0, ge=0, le=1)
    """Share of samples with one network pixel to a sensor pixel, whatever ``upscale`` says: for
    models that map at several scales."""
    wilderness: float = Field(default=0.0, ge=0, le=1)
    """Share of samples that show sea, dunes or mountains and no field at all."""
    barren: Literal["sea", "dunes", "mountains"] | None = None
    """What the samples without fields show; None: any of them."""
    overcast: float = Field(default=0.0, ge=0, le=1)
    """Share of samples under thick cloud, in parts or as a whole."""
    lakes: float = Field(default=0.0, ge=0, le=1)
    """Share of the samples with fields that have lakes of any colour."""
    plots: float = Field(default=0.0, ge=0, le=1)
    """Share of the samples with fields whose fields have a tenth to half a hectare."""


class WeightedSource(Finite):
    """One source of a mix, drawn in proportion to its weight."""

    weight: float = Field(default=1.0, gt=0)
    source: Annotated[TilesConfig | ScenesConfig | SyntheticConfig, Field(discriminator="kind")]


class MixConfig(Finite):
    """Several sources in one run; validation takes the validation samples of all."""

    kind: Literal["mix"]
    sources: tuple[WeightedSource, ...] = Field(min_length=1)
    samples_per_epoch: int = Field(default=2000, ge=1)


DataConfig = Annotated[
    TilesConfig | ScenesConfig | SyntheticConfig | MixConfig, Field(discriminator="kind")
]


class SplitConfig(Finite):
    """Which part of the labelled ground trains, validates and is kept for testing."""

    kind: Literal["blocks", "scenes", "polygons", "random"] = "blocks"
    """``blocks`` of ground go to one part as a whole; ``scenes`` do; ``polygons`` of a file say
    which ground is of which part; ``random`` parts single tiles, whose neighbours the network then
    knows: its scores are too good."""
    fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the labelled ground for validation, which chooses the best epoch."""
    test_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share that the run never sees, for ``geoconvlora evaluate``."""
    block_size_m: float | None = Field(default=None, gt=0)
    """Side of a block; None: four tiles, or less where the labels would fill fewer than eight
    blocks."""
    buffer_m: float | None = Field(default=None, ge=0)
    """Training pixels keep this distance from validation and test ground, validation pixels from
    test ground. None: an eighth of a block's side; half a tile around whole scenes; nothing
    around given polygons and random tiles."""
    polygons: Path | None = None
    """For ``polygons``: a file with ``part_column``, or with a layer for each part."""
    part_column: str = "part"
    """Holds ``train``, ``val`` and ``test``."""
    val_scenes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """For ``scenes``: names of the files, without folder and suffix; None: by chance."""
    test_scenes: tuple[str, ...] | None = None
    absent_classes: Literal["refuse", "warn"] = "refuse"
    """What to do where training or validation lacks a class."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> SplitConfig:
        if (self.kind == "polygons") != (self.polygons is not None):
            raise ValueError("kind: polygons and polygons, a file, go together")
        if self.kind != "scenes" and (self.val_scenes or self.test_scenes):
            raise ValueError("val_scenes and test_scenes are for kind: scenes")
        if self.test_scenes and self.val_scenes is None:
            raise ValueError("test_scenes goes with val_scenes")
        if self.fraction + self.test_fraction >= 1:
            raise ValueError("fraction and test_fraction leave nothing to train on")
        if self.kind == "random" and self.buffer_m:
            raise ValueError("a random split of neighbouring tiles has no buffer")
        return self
