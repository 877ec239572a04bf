"""What a training run is: frozen types that a YAML file and the command line's options fill.

Paths in a configuration are relative to the current folder, as they are on the command line.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from geoconvlora.training.data_config import (
    IGNORE,
    DataConfig,
    MixConfig,
    ScenesConfig,
    SplitConfig,
    SyntheticConfig,
    TilesConfig,
)
from geoconvlora.weights.card import (
    PATCH,
    ClassInfo,
    EncoderName,
    Finite,
    Frozen,
    InstanceRule,
    MapPrecision,
    Reductions,
    Resolution,
    Scaling,
    TaskKind,
    Views,
)

Size = EncoderName
Precision = Literal["auto", "32", "bf16-mixed", "16-mixed"]
LOSS_TERMS = ("ce", "focal", "dice", "log-cosh-dice", "jaccard", "lovasz")
STRUCTURE_LOSSES = ("structure-faithful", "structure-intended")
Strategy = Literal["auto", "ddp", "fsdp"]
Schedule = Literal["cosine", "linear", "constant"]


class NetworkConfig(Frozen):
    """The network, where it starts from, and how it is adapted."""

    size: Size | None = None
    """SAM's, or a plain ViT's name such as ``timm/vit_small_patch16_224``. None: the size of the
    base weights, which a file of timm's or torchgeo's does not say."""
    base: str | None = None
    """Base weights by name or path: a SAM checkpoint of Meta's, a bundled base, what
    ``export: base`` wrote, or a plain ViT's file as timm and torchgeo publish them. None: random
    weights."""
    method: str = "conv-lora"
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method, such as ``rank: 8``."""
    decoder: dict[str, Any] = Field(default_factory=dict)
    export: Literal["model", "base"] = "model"
    """``base`` writes base weights for later adapters, and goes with ``method: full``."""

    @model_validator(mode="after")
    def _consistent(self) -> NetworkConfig:
        if self.base is None and self.size is None:
            raise ValueError("without base weights, size must be given")
        if self.base is None and self.method not in {"full", "decoder-only"}:
            raise ValueError(
                f"method {self.method!r} adapts base weights: name them with base, or train "
                "random weights with method 'full'"
            )
        if self.export == "base" and self.method != "full":
            raise ValueError(f"export 'base' needs method 'full', not {self.method!r}")
        for section in ("settings", "decoder"):
            for key, value in getattr(self, section).items():
                if isinstance(value, float) and not math.isfinite(value):
                    raise ValueError(f"{section}.{key} is {value}: give a finite number")
        return self


class BandConfig(Finite):
    """One input band; statistics that are left out are measured on the training pixels."""

    name: str
    mean: float | None = None
    std: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _both_or_none(self) -> BandConfig:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together")
        return self


class Rates(Finite):
    """Learning rates of the network's parts as shares of ``optim.lr``."""

    encoder: float = Field(default=1.0, gt=0)
    """Weights that the encoder has without an adapter: all with method ``full``, its biases with
    ``bitfit``, the new neck of a plain ViT."""
    adapter: float = Field(default=1.0, gt=0)
    """What the method added to the encoder."""
    decoder: float = Field(default=1.0, gt=0)


class OptimConfig(Finite):
    """The optimiser (AdamW on trainable parameters) and its schedule, in optimiser steps."""

    lr: float = Field(default=1e-3, gt=0)
    """The highest learning rate."""
    rates: Rates = Rates()
    eps: float = Field(default=1e-8, gt=0)
    """Of AdamW; the reference implementation of Conv-LoRA has 1e-6."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Not applied to biases, norms and other vectors."""
    epochs: int = Field(default=20, ge=1)
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many epochs in a row without a better validation; None: never."""
    batch_size: int = Field(default=8, ge=1)
    """Samples that a device sees at once. Where its memory does not hold them, the batch is halved
    and ``accumulate`` doubled."""
    accumulate: int = Field(default=1, ge=1)
    """Batches that make one optimiser step."""
    recompute: bool = False
    """Keep the encoder's inputs only and compute each block again for its gradient: less memory,
    about a third more time, the same result."""
    schedule: Schedule = "cosine"
    warmup_fraction: float = Field(default=0.03, ge=0, lt=1)
    clip: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    ema: float | None = Field(default=0.998, gt=0, lt=1)
    """Decay of the weights' moving average, which is validated and saved; None: no average."""


class LossConfig(Finite):
    """The task's loss; pixels of value 255 never count."""

    name: str = "ce+dice"
    """Terms joined by ``+``, such as ``focal+jaccard``; or a structure loss, which stands alone."""
    class_weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    """Of cross-entropy and focal loss, one a class."""
    region_weight: float = Field(default=1.0, ge=0)
    """Of the Dice, Jaccard and Lovász terms."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """How much less pixels count in the focal loss that are right already."""
    boundary_width_px: int | None = Field(default=None, ge=1, le=64)
    """Pixels of the network's grid at most this far from another class weigh more in
    cross-entropy and focal loss; None: all weigh alike."""
    boundary_weight: float = Field(default=5.0, gt=0)
    """How many times as much they weigh."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if fault := fault_of_loss_name(name):
            raise ValueError(fault)
        return name

    @model_validator(mode="after")
    def _weights_have_a_pixel_loss(self) -> LossConfig:
        for key in ("boundary_width_px", "class_weights"):
            given = getattr(self, key) is not None
            if given and {"ce", "focal"}.isdisjoint(self.name.split("+")):
                raise ValueError(
                    f"{key} is for cross-entropy and focal loss, and {self.name!r} has neither"
                )
        if self.class_weights is not None and not any(self.class_weights):
            raise ValueError("class_weights: at least one must be above 0")
        return self


def fault_of_loss_name(name: str) -> str | None:
    """What is wrong with a loss's name; None where it can be built."""
    if name in STRUCTURE_LOSSES:
        return None
    terms = name.split("+")
    for term in terms:
        if term not in LOSS_TERMS:
            return (
                f"{term!r} is none of {', '.join((*LOSS_TERMS, *STRUCTURE_LOSSES))}, and only the "
                "first six can be joined by +"
            )
    if len(set(terms)) < len(terms):
        return f"{name!r} names a term twice"
    return None


class AugmentConfig(Finite):
    """Random changes to training samples."""

    flips: bool = True
    quarter_turns: bool = True
    brightness: float = Field(default=0.0, ge=0, lt=1)
    """Largest shift of all bands together, in standard deviations."""
    contrast: float = Field(default=0.0, ge=0, lt=1)
    """Largest relative change of the spread about the mean."""
    band_brightness: float = Field(default=0.0, ge=0)
    """Largest shift of each band by itself, in standard deviations."""
    band_contrast: float = Field(default=0.0, ge=0, lt=1)
    """Largest relative change of each band's spread by itself."""
    band_drop: float = Field(default=0.0, ge=0, lt=1)
    """Probability with which a band is set to its mean; one band always stays."""
    scale: float = Field(default=0.0, ge=0, le=3)
    """Largest enlargement: 0.5 shows the ground up to 1.5 times as large, or as small."""


class TrainConfig(Frozen):
    """One training run, complete."""

    name: str = "model"
    description: str = ""
    limits: str = ""
    licence: str = "unknown"
    data_lines: tuple[str, ...] = ()
    """One line a data set for the model card: name, licence."""
    init: str | None = None
    """A bundled model or a model file from which training goes on: its adapter and decoder are the
    start, and its card fills ``model``, ``classes``, ``bands`` and the like where they are left
    out."""
    model: NetworkConfig
    task: TaskKind = "classes"
    classes: tuple[ClassInfo, ...] = Field(min_length=2)
    instances: InstanceRule | None = None
    bands: tuple[BandConfig, ...] = Field(
        default=(BandConfig(name="red"), BandConfig(name="green"), BandConfig(name="blue")),
        min_length=1,
    )
    scaling: Scaling = Scaling()
    resolution: Resolution = Resolution()
    tile_size: int = Field(default=256, ge=32, multiple_of=PATCH)
    map_tile_size: int | None = Field(default=None, ge=32, multiple_of=PATCH)
    """Side of the tiles in which the model maps scenes; None: :attr:`tile_size`. Of larger ones
    less is overlap, so that maps take less time."""
    map_overlap: int | None = Field(default=None, ge=0)
    """Pixels that those tiles share; None: a quarter of them."""
    map_reductions: Reductions = (1,)
    """At which sizes the network sees those tiles; what it finds at all of them is joined."""
    map_views: Views = "none"
    """``flips``: the model averages four views of each tile, for four times the computing; ``d4``:
    eight."""
    map_precision: MapPrecision = "32"
    """``bf16``: the model maps in bfloat16 where hardware has units for it."""
    data: DataConfig
    split: SplitConfig = SplitConfig()
    optim: OptimConfig = OptimConfig()
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    seed: int = Field(default=0, ge=0, lt=2**32)
    precision: Precision = "auto"
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    devices: int = Field(default=1, ge=1)
    """Devices, or processes on the CPU, of each node; each sees its own batches."""
    num_nodes: int = Field(default=1, ge=1)
    strategy: Strategy = "auto"
    """How several devices share the work: ``ddp`` gives each the whole network, ``fsdp`` a share
    of it; ``auto`` is ``ddp`` where there are several."""
    tensorboard: bool = False
    """Write TensorBoard's event files into the run's folder too."""
    num_workers: int = Field(default=2, ge=0)
    out: Path
    """The model file that the run writes (``.safetensors``)."""

    @property
    def run_folder(self) -> Path:
        """Where the run keeps its configuration, metrics and checkpoints."""
        return self.out.with_suffix(".run")

    @property
    def sources(self) -> tuple[TilesConfig | ScenesConfig | SyntheticConfig, ...]:
        """The data's sources, also where there is but one."""
        if isinstance(self.data, MixConfig):
            return tuple(part.source for part in self.data.sources)
        return (self.data,)

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        ids = [c.id for c in self.classes]
        if ids != list(range(len(ids))):
            raise ValueError(f"class ids must be 0, 1, 2, ... in order, not {ids}")
        if len({c.name for c in self.classes}) != len(ids):
            raise ValueError("two classes have one name")
        nameless = [c.id for c in self.classes if not c.name.strip()]
        if nameless:
            raise ValueError(f"class {nameless[0]} has no name")
        if (self.task == "instances") != (self.instances is not None):
            raise ValueError("task 'instances' and the instances rule go together")
        if self.instances is not None:
            for role in ("interior", "boundary"):
                if getattr(self.instances, role) not in ids:
                    raise ValueError(f"instances.{role} names no class id of {ids}")
        weights = self.loss.class_weights
        if weights is not None and len(weights) != len(ids):
            raise ValueError(f"loss.class_weights has {len(weights)} values for {len(ids)} classes")
        if self.devices > 1 and self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device {self.device!r} is one device: with devices, give its kind")
        if self.strategy == "fsdp" and self.optim.ema is not None:
            raise ValueError(
                "strategy 'fsdp' shares out the weights, and their average needs them whole: set "
                "optim.ema: null"
            )
        if self.strategy == "fsdp" and self.precision == "16-mixed":
            raise ValueError("strategy 'fsdp' is for precision 32 and bf16-mixed")
        if self.loss.name.startswith("structure") and len(ids) != 2:
            raise ValueError(f"loss {self.loss.name!r} is for 2 classes, not {len(ids)}")
        if len({band.mean is None for band in self.bands}) > 1:
            raise ValueError("give mean and std for all bands or for none")
        self._check_tile_sizes()
        mapped = self.map_tile_size or self.tile_size
        if self.map_overlap is not None and self.map_overlap > mapped // 2:
            raise ValueError(f"map_overlap {self.map_overlap} is more than half of {mapped}")
        for source in self.sources:
            if isinstance(source, SyntheticConfig):
                self._check_synthetic(source)
            elif isinstance(source, TilesConfig):
                self._check_tiles(source)
        if self.out.suffix != ".safetensors":
            raise ValueError(f"out {self.out} must end in .safetensors")
        return self

    def _check_tile_sizes(self) -> None:
        shrink = self.model.decoder.get("shrink", 1)
        if not isinstance(shrink, int):  # What is wrong with it, the decoder says.
            return
        if shrink < 1:
            raise ValueError(f"model.decoder.shrink must be 1, 2 or 4, not {shrink}")
        unit = PATCH * shrink
        for name in ("tile_size", "map_tile_size"):
            size = getattr(self, name)
            if size is not None and size % unit:
                raise ValueError(
                    f"{name} {size} is no multiple of {unit}: the encoder sees tiles {shrink} "
                    f"times smaller, in patches of {PATCH}"
                )
        unit *= math.lcm(*self.map_reductions)
        if (self.map_tile_size or self.tile_size) % unit:
            raise ValueError(
                f"map_reductions {self.map_reductions} need a map_tile_size that is a multiple of "
                f"{unit}"
            )

    def _check_tiles(self, source: TilesConfig) -> None:
        if source.images == source.labels and not source.label_suffix:
            raise ValueError("images and labels in one folder need a label_suffix")
        unknown = (
            set((source.label_values or {}).values()) - {c.id for c in self.classes} - {IGNORE}
        )
        if unknown:
            raise ValueError(f"label_values leads to {min(unknown)}, which is no class id")

    def _check_synthetic(self, source: SyntheticConfig) -> None:
        if len(self.bands) != 3 or len(self.classes) != 3:
            raise ValueError(
                "synthetic data has three bands and the three classes background, field, boundary"
            )
        if self.tile_size % source.upscale:
            raise ValueError(f"tile_size {self.tile_size} is no multiple of upscale")
