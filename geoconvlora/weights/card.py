"""The model card: everything a model file says of itself, as frozen types."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

FORMAT_VERSION: Literal[1] = 1
"""Version of the model file's layout; another one is refused."""
PATCH = 16
"""Side in pixels of the patches that networks here see."""

TaskKind = Literal["classes", "instances"]

EncoderName = Annotated[str, Field(pattern=r"^(vit_[tblh]|timm/[a-z0-9_]+)$")]
"""Size of SAM's encoder, or a plain ViT by its name in timm: ``timm/vit_small_patch16_224``."""


def _begins_with_1(reductions: tuple[int, ...]) -> tuple[int, ...]:
    if reductions[0] != 1 or len(set(reductions)) < len(reductions):
        raise ValueError(f"the first must be 1 and all must differ, not {reductions}")
    return reductions


Reductions = Annotated[
    tuple[Annotated[int, Field(ge=1, le=8)], ...],
    Field(min_length=1),
    AfterValidator(_begins_with_1),
]
"""How many times a tile is reduced for the network; (1, 2) shows it as it is and half as large."""


def _as_text(value: Any) -> Any:
    """A number as YAML reads ``precision: 32``."""
    return str(value) if type(value) is int else value


Views = Literal["none", "flips", "d4"]
"""Views of a tile whose probabilities are averaged: itself, its four mirrorings, or all eight
mirrorings and rotations of a square."""

MapPrecision = Annotated[Literal["32", "bf16"], BeforeValidator(_as_text)]
"""What a network may compute in: float32 alone, or bfloat16 where hardware has units for it."""


class Frozen(BaseModel):
    """Immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Finite(Frozen):
    """Immutable, strict, and without NaN or infinity."""

    model_config = ConfigDict(allow_inf_nan=False)


class BaseWeights(Frozen):
    """The frozen encoder that an adapter belongs to."""

    name: str
    """Catalogue name (``vit_t-fields``) or file name (``sam_vit_b_01ec64.pth``)."""
    size: EncoderName
    sha256: str | None = None
    """Of the base weights' file; None where the encoder's own tensors travel in the model file."""


class ClassInfo(Frozen):
    """One class of the map; ``id`` is the value in class rasters."""

    id: int = Field(ge=0, le=254)
    name: str
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")


class Band(Finite):
    """One input band, in the order of the network's input channels."""

    name: str
    """Free name; ``red green blue nir`` and the like let bands be found by name or colour."""
    mean: float
    std: float = Field(gt=0)
    """Of the values after scaling: the network sees ``(scaled - mean) / std``."""


class Scaling(Finite):
    """From stored values to what ``mean`` and ``std`` are given in.

    ``linear``: ``stored * scale + offset``.
    ``percentile``: per scene and band, the ``low`` and ``high`` percentiles of the scene's valid
    pixels become 0 and 1 (not clipped beyond ``clip``); radiometry-proof.
    """

    kind: Literal["linear", "percentile"] = "linear"
    scale: float = 1.0
    offset: float = 0.0
    low: float = 2.0
    high: float = 98.0
    clip: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _percentiles_rise(self) -> Scaling:
        if self.kind == "percentile" and not 0 <= self.low < self.high <= 100:
            raise ValueError(
                f"low {self.low:g} and high {self.high:g} must be percentiles from 0 to 100, and "
                "low the smaller one"
            )
        return self


class Resolution(Finite):
    """Ground sampling distance that the network knows, and what to do with another one."""

    gsd_m: float | None = Field(default=None, gt=0)
    """Pixel size of the network's input; None: whatever the scene has."""
    min_gsd_m: float | None = None
    max_gsd_m: float | None = None
    """Range of scenes' pixel sizes that the model accepts. A scene coarser than that is enlarged
    no more than one of ``max_gsd_m`` would be."""
    max_zoom_in: int | None = Field(default=None, ge=1, le=8)
    """How many times finer than a scene the network's grid is at most. Fields of coarse scenes are
    large, and look to a network as small fields of finer scenes do."""
    outside: Literal["refuse", "warn"] = "warn"
    refuse_gsd_m: float | None = Field(default=None, gt=0)
    """Scenes with pixels of this size and coarser are refused in any case: nothing can be seen in
    them of what the model maps."""
    earth_only: bool = False
    """Refuse scenes of other bodies, where none of what the model maps is, instead of warning."""


class InstanceRule(Finite):
    """How class probabilities become objects (``task='instances'``)."""

    interior: int
    """Class id of an object's inside."""
    boundary: int
    """Class id of the line between objects."""
    seed_depth: float = Field(default=0.1, gt=0, lt=1)
    """Two objects are parted where the boundary between them, P(boundary) / (P(interior) +
    P(boundary)), rises by this above the lower part of both."""
    smoothing: float = Field(default=1.5, ge=0)
    """Standard deviation of the Gaussian that smooths the boundary, in pixels of the model."""
    extent_threshold: float = 0.5
    """Objects grow where P(interior) + P(boundary) exceeds this."""
    max_boundary: float = Field(default=1.0, gt=0, le=1)
    """Pixels whose smoothed boundary is higher belong to the line around an object, not to it; 1
    leaves no line, so that neighbours touch."""
    reach_px: int = Field(default=64, ge=1, le=254)
    """Steps, from pixel to neighbouring pixel, that an object grows from where it starts."""
    min_extent: float = 0.0
    """Objects whose mean P(interior) + P(boundary) is lower are dropped."""
    min_area_m2: float = 0.0
    name: str = "field"
    """Class name of the objects' polygons."""


class TrainingRecord(Frozen):
    """Where the weights come from."""

    data: tuple[str, ...] = ()
    """One line a data set: name, licence."""
    seed: int | None = None
    epochs: int | None = None
    samples: int | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)


class ModelCard(Frozen):
    """All that prediction needs to know; anything that it does not say is not assumed."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str
    description: str = ""
    limits: str = ""
    licence: str = "unknown"
    task: TaskKind
    base: BaseWeights | None = None
    """None, with ``method``: a network that another library trained."""
    method: str | None = None
    method_settings: dict[str, Any] = Field(default_factory=dict)
    decoder: dict[str, Any] = Field(default_factory=dict)
    """Settings of :class:`geoconvlora.sam.PromptFreeDecoder`."""
    classes: tuple[ClassInfo, ...] = Field(min_length=1)
    bands: tuple[Band, ...] = Field(min_length=1)
    scaling: Scaling = Scaling()
    nodata: float | None = None
    """Stored value that means 'no data' where the scene itself declares none."""
    resolution: Resolution = Resolution()
    tile_size: int = Field(default=256, ge=32)
    """Side of the network's input in pixels of its own grid; a multiple of :attr:`multiple`."""
    overlap: int | None = None
    """Pixels that neighbouring tiles share; None: a quarter of the tile."""
    reductions: Reductions = (1,)
    """At which sizes the network sees each tile; what it finds at all of them is joined
    (:mod:`geoconvlora.inference.scales`)."""
    views: Views = "none"
    """Views of each tile that are averaged where nobody asks for others."""
    precision: MapPrecision = "32"
    """In what the network maps. bfloat16 keeps eight bits of each value, so probabilities differ by
    some thousandths; whoever sets it has compared the scores."""
    instances: InstanceRule | None = None
    training: TrainingRecord = TrainingRecord()

    @property
    def multiple(self) -> int:
        """What the sides of tiles are multiples of, so that the network takes all their sizes."""
        return self.network_multiple * math.lcm(*self.reductions)

    @property
    def network_multiple(self) -> int:
        """What the sides of the network's input are multiples of."""
        shrink = self.decoder.get("shrink", 1)
        return PATCH * shrink if isinstance(shrink, int) and shrink > 0 else PATCH

    @model_validator(mode="after")
    def _consistent(self) -> ModelCard:
        ids = [c.id for c in self.classes]
        if ids != list(range(len(ids))):
            raise ValueError(f"class ids must be 0, 1, 2, ... in order, not {ids}")
        if self.tile_size % self.multiple:
            raise ValueError(f"tile_size {self.tile_size} is not a multiple of {self.multiple}")
        if (self.task == "instances") != (self.instances is not None):
            raise ValueError("task 'instances' and the instance rule go together")
        if self.instances is not None and self.instances.interior == self.instances.boundary:
            raise ValueError("instances: interior and boundary are one class")
        if (self.base is None) != (self.method is None):
            raise ValueError("base and method go together")
        return self


def faults_of(error: ValidationError) -> list[ErrorDetails]:
    """What is wrong, without what only follows from it.

    pydantic counts a list's good entries alone, so one with a bad entry seems too short as well.
    """
    return [
        fault
        for fault in error.errors(include_url=False)
        if not (fault["type"] == "too_short" and len(fault["input"]) >= fault["ctx"]["min_length"])
    ]


def fault_of_card(error: ValidationError) -> str:
    """What is wrong with a card, on one line."""
    faults = []
    for fault in faults_of(error):
        key = ".".join(map(str, fault["loc"]))
        unknown = fault["type"] == "extra_forbidden"
        text = "unknown key" if unknown else fault["msg"].removeprefix("Value error, ")
        faults.append(f"{key}: {text}" if key else text)
    return "; ".join(faults)[:300]
