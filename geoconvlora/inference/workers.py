"""Several processes that map rows of tiles of one scene."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from geoconvlora.errors import ConfigError, WorkerError
from geoconvlora.inference.network import choose_device, place, write_strips
from geoconvlora.inference.spool import strip_in
from geoconvlora.inference.task import MapTask
from geoconvlora.weights import Model, load

#: Rows of tiles that a worker is given at a time: it reads the second while it maps the first.
_ROWS_AHEAD = 2
#: Times that a row of tiles is tried, where workers die on it.
_TRIES = 3


class Workers:
    """Processes that each load the model once, and map the rows of tiles that they are given.

    A worker writes strips, and says no more than their indices. One that dies costs the rows that
    it was working on: another takes its place, and they are mapped again.

    Args:
        task: What is mapped.
        rows: Indices of rows of tiles, ascending.
        model: The model, or what it is loaded from.
        base: Its base weights, where it is not loaded.
        device: As the user named it; ``auto`` and ``cuda`` are dealt out where there are several.
        count: Processes, fewer than or as many as rows.
        folder: Where strips go.
    """

    def __init__(
        self,
        task: MapTask,
        rows: Sequence[int],
        model: str | Path | Model,
        base: str | Path | None,
        *,
        device: str,
        count: int,
        folder: Path,
    ) -> None:
        self._rows, self._count = rows, count
        self._devices = _devices(device)
        self._threads = max(1, torch.get_num_threads() // count)
        self._order = (task, model, base, folder)
        self._waiting = deque(rows)
        self._tries = dict.fromkeys(rows, 0)
        self._given: dict[Connection, tuple[Any, list[int]]] = {}

    def run(self) -> Generator[int, None, None]:
        """Yield the rows in order, each when its strip is on disk.

        Raises:
            WorkerError: Workers died on one row again and again.
            SceneError: What a worker met.
            OutputError: Likewise.
        """
        done: set[int] = set()
        try:
            for number in range(self._count):
                self._start(number)
            for row in self._rows:
                while row not in done:
                    done |= self._hear()
                yield row
        finally:
            for process, _ in self._given.values():
                process.terminate()
            for connection, (process, _) in self._given.items():
                process.join()
                connection.close()

    def _start(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work,
            args=(theirs, *self._order, self._devices[number % len(self._devices)], self._threads),
            name=f"worker {number}",
            daemon=True,
        )
        try:
            process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            ours.close()
            theirs.close()
            raise ConfigError(
                f"this model cannot be sent to other processes ({error}): name its file, or leave "
                "workers at 1"
            ) from error
        theirs.close()
        self._given[ours] = (process, [])
        for _ in range(_ROWS_AHEAD):
            self._give(ours)

    def _give(self, connection: Connection) -> None:
        if not self._waiting:
            return
        row = self._waiting.popleft()
        self._given[connection][1].append(row)
        with suppress(OSError):  # it died; that is heard of next
            connection.send(row)

    def _hear(self) -> set[int]:
        """Wait for news; return the rows that were finished."""
        finished = set()
        for connection in wait(list(self._given)):
            assert isinstance(connection, Connection)
            try:
                row, error = connection.recv()
            except (EOFError, OSError):
                self._replace(connection)
                continue
            if error is not None:
                raise error
            finished.add(row)
            self._given[connection][1].remove(row)
            self._give(connection)
        return finished

    def _replace(self, connection: Connection) -> None:
        process, rows = self._given.pop(connection)
        connection.close()
        process.join()
        for row in rows:
            self._tries[row] += 1
        worst = max(rows, key=self._tries.__getitem__, default=None)
        if worst is None or self._tries[worst] >= _TRIES:
            raise WorkerError(
                f"workers died {_TRIES} times on one row of tiles (exit code {process.exitcode}): "
                "is the memory too small for so many? Give fewer --workers, or a smaller "
                "--batch-size, and --resume"
            )
        self._waiting.extendleft(reversed(rows))
        self._start(int(process.name.split()[-1]))


def _devices(name: str) -> list[str]:
    """Devices to deal out to workers."""
    chosen = choose_device(name)
    if str(chosen) == "cuda":
        return [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    return [str(chosen)]


def _work(
    connection: Connection,
    task: MapTask,
    model: str | Path | Model,
    base: str | Path | None,
    folder: Path,
    device: str,
    threads: int,
) -> None:
    """The life of a worker: rows of tiles come in, and what became of them goes out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        loaded = load(model, base=base) if isinstance(model, (str, PathLike)) else model
        network, where = place(loaded.network, device, task.precision)
        for row in write_strips(
            task, _given(connection), network, where, partial(strip_in, folder)
        ):
            connection.send((row, None))
    except Exception as error:
        connection.send((None, error))


def _given(connection: Connection) -> Iterator[int]:
    while True:
        try:
            yield connection.recv()
        except EOFError:
            return


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
