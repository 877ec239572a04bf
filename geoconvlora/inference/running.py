"""Rows of tiles to strips on disk, in this process or in several."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from os import PathLike
from pathlib import Path

from geoconvlora.inference.ahead import ahead
from geoconvlora.inference.network import choose_device, place, write_strips
from geoconvlora.inference.spool import Spool
from geoconvlora.inference.task import MapTask
from geoconvlora.inference.workers import Workers
from geoconvlora.weights import Model, load


def finish_strips(
    task: MapTask,
    spool: Spool,
    model: str | Path | Model,
    base: str | Path | None,
    *,
    device: str,
    workers: int,
) -> Generator[int, None, None]:
    """Yield the indices of the map's rows of tiles in order, each when its strip is on disk.

    Strips that are there already are not made again. The network works ahead of whoever consumes
    this: finished strips wait on disk, not in memory.

    Args:
        task: What is mapped.
        spool: Where strips are.
        model: The model, or what it is loaded from.
        base: Its base weights, where it is not loaded.
        device: As the user named it.
        workers: Processes; with one it is this process.

    Raises:
        ConfigError: This machine has no such device, or an unfinished run was on another one.
        SceneError: The scene cannot be read somewhere.
        OutputError: A strip cannot be written.
        WorkerError: Workers died again and again.
    """
    there = spool.finished(task.tile_rows)
    missing = [row for row in task.tile_rows if row not in there]
    if not missing:
        yield from task.tile_rows
        return
    if workers > 1:
        spool.settle("device", choose_device(device).type)
        made: Generator[int, None, None] = Workers(
            task, missing, model, base, device=device, count=min(workers, len(missing)), spool=spool
        ).run()
    else:
        made = _in_this_process(task, missing, model, base, device, spool)
    try:
        for row in task.tile_rows:
            if row not in there:
                next(made)
            yield row
    finally:
        made.close()


def _in_this_process(
    task: MapTask,
    rows: Sequence[int],
    model: str | Path | Model,
    base: str | Path | None,
    device: str,
    spool: Spool,
) -> Generator[int, None, None]:
    loaded = load(model, base=base) if isinstance(model, (str, PathLike)) else model
    network, where = place(loaded.network, device)
    spool.settle("device", where.type)
    yield from ahead(write_strips(task, rows, network, where, spool.path), depth=len(rows))
