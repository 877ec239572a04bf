"""Where results go: names checked before the work, files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.inference.spool import is_unfinished
from geoconvlora.naming import check_name_length
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import open_dataset
from geoconvlora.scenes.remote import is_remote
from geoconvlora.scenes.scene import Scene

RASTER_SUFFIXES = (".tif", ".tiff")
POLYGON_SUFFIXES = (".gpkg", ".fgb", ".parquet", ".geojson")


@dataclass(frozen=True)
class OutputPlan:
    """Files that a prediction writes.

    Attributes:
        classes: Class rasters.
        polygons: Polygon layers.
        probabilities: The probability raster.
        uncertainty: The raster of how far predictions differ.
    """

    classes: tuple[Path, ...]
    polygons: tuple[Path, ...]
    probabilities: Path | None
    uncertainty: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        more = [path for path in (self.probabilities, self.uncertainty) if path is not None]
        return (*self.polygons, *self.classes, *more)


def plan_outputs(
    out: str | Path | Sequence[str | Path],
    probs: str | Path | None,
    *,
    uncertainty: str | Path | None = None,
    inputs: Sequence[str],
    overwrite: bool,
    resume: bool = False,
) -> OutputPlan:
    """Sort outputs by suffix and make sure that each can be written.

    Args:
        out: One file or several; ``.tif`` is a class raster, the others polygons.
        probs: The probability raster, ``.tif``.
        uncertainty: The raster of how far predictions differ, ``.tif``.
        inputs: Files that are read, which no output may replace.
        overwrite: Whether files that exist may be replaced.
        resume: Whether those may be that an unfinished run has already written.

    Raises:
        OutputError: A suffix is unknown, a name too long, a file exists, or its folder is missing
            or read-only.
        ConfigError: Nothing is asked for, or one name twice.
    """
    names = [Path(each) for each in ([out] if isinstance(out, (str, Path)) else out)]
    if not names and probs is None and uncertainty is None:
        raise ConfigError("nothing to write: give an output with --out or --probs")
    for path in names:
        if path.suffix.lower() not in (*RASTER_SUFFIXES, *POLYGON_SUFFIXES):
            raise OutputError(
                f"{path}: the suffix decides what is written, and {path.suffix or 'none'} is not "
                f"one of {' '.join(POLYGON_SUFFIXES)} (polygons) or .tif (class raster)"
            )
    for raster, what in ((probs, "probabilities are"), (uncertainty, "uncertainty is")):
        if raster is not None and Path(raster).suffix.lower() not in RASTER_SUFFIXES:
            raise OutputError(f"{raster}: {what} written as GeoTIFF: name it .tif")
    plan = OutputPlan(
        classes=tuple(p for p in names if p.suffix.lower() in RASTER_SUFFIXES),
        polygons=tuple(p for p in names if p.suffix.lower() in POLYGON_SUFFIXES),
        probabilities=None if probs is None else Path(probs),
        uncertainty=None if uncertainty is None else Path(uncertainty),
    )
    for path in plan.files:
        check_name_length(path)
    overwrite = overwrite or (resume and is_unfinished(plan.files[0]))
    taken = [Path(each).resolve() for each in inputs]
    for path in plan.files:
        resolved = path.resolve()
        if resolved in taken:
            raise ConfigError(f"{path} is named twice, as input or output: give it another name")
        taken.append(resolved)
        _check_writable(path, overwrite)
    return plan


def spare_sources(plan: OutputPlan, scenes: Iterable[Scene]) -> None:
    """Make sure that no output would replace a file that a scene consists of, as a VRT's sources.

    Raises:
        ConfigError: One would.
        SceneError: A scene cannot be opened.
    """
    written = {path.resolve(): path for path in plan.files}
    for scene in scenes:
        if is_remote(scene.path):
            continue
        with raster_environment(), open_dataset(scene.path) as dataset:
            read = [Path(name).resolve() for name in dataset.files]
        for file in read:
            if file in written:
                raise ConfigError(
                    f"{written[file]} is a file that {scene.path} is read from: give the output "
                    "another name"
                )


def part_name(path: Path, step: str = "part") -> Path:
    """Return the temporary name beside ``path`` under which it is written."""
    return path.with_name(f".{path.name}.{os.getpid()}.{step}{path.suffix}")


def _check_writable(path: Path, overwrite: bool) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} does not exist; make it first")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: choose another name, or give --overwrite")
    probe = part_name(path, "probe")
    try:
        probe.touch()
    except OSError as error:
        raise OutputError(f"{path}: its folder cannot be written ({error.strerror})") from error
    probe.unlink()
