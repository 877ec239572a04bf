"""A scene to the rows of its map: tiles to strips on disk, in one process or several, and on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path

from geoconvlora.inference.ahead import ahead
from geoconvlora.inference.cluster import Cluster
from geoconvlora.inference.network import Hardware, choose_device, device_of, place, write_strips
from geoconvlora.inference.rows import MapRows
from geoconvlora.inference.spool import strip_in
from geoconvlora.inference.stream import map_rows
from geoconvlora.inference.task import MapTask, Precision
from geoconvlora.inference.workers import Workers
from geoconvlora.weights import Model, load


def scene_rows(
    task: MapTask,
    folder: Path,
    model: str | Path | Model,
    base: str | Path | None = None,
    *,
    device: str = "auto",
    workers: int = 1,
    cluster: Cluster | None = None,
    band_rows: int | None = None,
) -> Generator[MapRows, None, None]:
    """Yield the rows of a scene's map in order, on ``task.map_grid``.

    The network works ahead of whoever consumes them: what it has finished waits on disk, not in
    memory. What is there already is not made again.

    Args:
        task: What is mapped.
        folder: Where finished strips are and go; nothing else may be called like them.
        model: The model, or what it is loaded from.
        base: Its base weights, where it is not loaded.
        device: As the user named it.
        workers: Processes; with one it is this process.
        cluster: Where the network runs instead; it has its model already.
        band_rows: Rows at a time; changes speed and memory, never the result.

    Raises:
        ConfigError: This machine has no such device.
        SceneError: The scene cannot be read somewhere.
        OutputError: A strip cannot be written.
        WorkerError: Workers died again and again.
    """
    if cluster is None:
        make = partial(
            _made, task, folder=folder, model=model, base=base, device=device, workers=workers
        )
    else:
        make = partial(_made_by_cluster, cluster, task, folder=folder)
    finished = _finish_strips(task, folder, make)
    try:
        yield from map_rows(task, finished, partial(strip_in, folder), band_rows=band_rows)
    finally:
        finished.close()


def hardware_for(
    model: str | Path | Model, device: str, precision: Precision, cluster: Cluster | None = None
) -> str:
    """Return where and how a model's network will run, in words: ``cpu in bfloat16``.

    Raises:
        ConfigError: This machine has no such device, or it does not compute in bfloat16.
    """
    if cluster is not None:
        return str(cluster.hardware)
    if isinstance(model, (str, PathLike)):
        return str(Hardware.of(choose_device(device), precision))
    return str(Hardware.of(device_of(model.network, device), precision))


def missing_rows(task: MapTask, folder: Path) -> list[int]:
    """Return the rows of tiles whose strips are not in a folder."""
    return [row for row in task.tile_rows if not strip_in(folder, row).exists()]


def _finish_strips(
    task: MapTask, folder: Path, make: Callable[[Sequence[int]], Generator[int, None, None]]
) -> Generator[int, None, None]:
    """Yield the indices of the map's rows of tiles in order, each when its strip is on disk."""
    missing = missing_rows(task, folder)
    made = make(missing) if missing else None
    there = set(task.tile_rows) - set(missing)
    try:
        for row in task.tile_rows:
            if made is not None and row not in there:
                next(made)
            yield row
    finally:
        if made is not None:
            made.close()


def _made(
    task: MapTask,
    rows: Sequence[int],
    *,
    folder: Path,
    model: str | Path | Model,
    base: str | Path | None,
    device: str,
    workers: int,
) -> Generator[int, None, None]:
    count = min(workers, len(rows))
    if workers > 1:
        return Workers(task, rows, model, base, device=device, count=count, folder=folder).run()
    return _in_this_process(task, rows, model, base, device, folder)


def _made_by_cluster(
    cluster: Cluster, task: MapTask, rows: Sequence[int], *, folder: Path
) -> Generator[int, None, None]:
    cluster.promise(task, rows, folder)
    return cluster.strips(rows, folder)


def _in_this_process(
    task: MapTask,
    rows: Sequence[int],
    model: str | Path | Model,
    base: str | Path | None,
    device: str,
    folder: Path,
) -> Generator[int, None, None]:
    loaded = load(model, base=base) if isinstance(model, (str, PathLike)) else model
    network, where = place(loaded.network, device, task.precision)
    path_of = partial(strip_in, folder)
    yield from ahead(write_strips(task, rows, network, where, path_of), depth=len(rows))
