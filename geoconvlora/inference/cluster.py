"""Workers of a dask.distributed cluster that map rows of tiles of one scene or several."""

from __future__ import annotations

import hashlib
import pickle
import secrets
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from geoconvlora import __version__
from geoconvlora.errors import ConfigError, OutputError, WorkerError
from geoconvlora.inference.settings import model_digest
from geoconvlora.inference.spool import strip_in
from geoconvlora.inference.task import MapTask, Precision
from geoconvlora.weights import bundled_models

if TYPE_CHECKING:
    from distributed import Client, Future

    from geoconvlora.inference.cluster_rows import ModelSource, RowOrder, SceneOrder
    from geoconvlora.inference.network import Hardware
    from geoconvlora.weights import Model

_CONNECT_S = 15
#: How long to wait for the first worker, and for another one where all went away.
_WORKERS_S = 600
#: How long a network file system may take to show a file that another machine wrote.
_PATIENCE_S = 40
#: Rows of tiles that are given out, for each thread of a worker.
_ROWS_AHEAD = 2


class Cluster:
    """A cluster that maps rows of tiles; a context manager.

    Workers write strips into the run's folder, which they must see under the same path. One that
    dies costs the rows that it was working on: dask gives them to another.

    Attributes:
        hardware: Where and how the network runs on all workers.
    """

    hardware: Hardware

    def __init__(
        self,
        address: str,
        folder: Path,
        model: str | Path | Model,
        base: str | Path | None,
        *,
        device: str,
        precision: Precision,
    ) -> None:
        """Connect, and ask all workers whether they can take part.

        Args:
            address: Of the scheduler, ``tcp://host:8786`` for instance, or its scheduler file.
            folder: The run's own folder.
            model: The model, or what it is loaded from.
            base: Its base weights, where it is not loaded.
            device: As the user named it.
            precision: What the network shall compute in.

        Raises:
            ConfigError: Nobody answers, there are no workers, or one of them cannot take part.
        """
        self._address, self._folder = address, folder.absolute()
        self._client = _connected(address)
        self._waiting: deque[tuple[SceneOrder, int]] = deque()
        self._given: dict[Future, tuple[Path, int]] = {}
        self._promised: set[tuple[Path, int]] = set()
        self._done: set[tuple[Path, int]] = set()
        try:
            token = self._folder / f"cluster.{secrets.token_hex(4)}.part"
            token.touch()
            self._wait_for_workers(_WORKERS_S)
            self.hardware = self._ask_workers(token, device, precision)
            kind = self.hardware.kind if device == "auto" else device
            self._order = self._order_of(model, base, kind, token)
        except BaseException:
            self._client.close()
            raise

    def promise(self, task: MapTask, rows: Sequence[int], folder: Path) -> None:
        """Have rows of a scene mapped when workers have nothing to do that was promised before.

        Args:
            task: What is mapped.
            rows: Indices of rows of tiles, ascending.
            folder: Where strips go.
        """
        from geoconvlora.inference.cluster_rows import SceneOrder, size_of

        folder = folder.absolute()
        task = replace(task, scene=task.scene.absolute())
        order = SceneOrder(task, folder, size_of(task.scene.path))
        for row in rows:
            if (folder, row) not in self._promised:
                self._promised.add((folder, row))
                self._waiting.append((order, row))
        self._give()

    def strips(self, rows: Sequence[int], folder: Path) -> Generator[int, None, None]:
        """Yield promised rows in order, each when its strip is on disk.

        Raises:
            WorkerError: Workers died on one row again and again, or are all gone.
            SceneError: What a worker met.
            OutputError: Likewise; or strips do not arrive here.
            ConfigError: A worker that came later cannot take part.
            ModelFileError: A worker has another model of that name.
        """
        from geoconvlora.inference.cluster_rows import seen

        folder = folder.absolute()
        for row in rows:
            while (folder, row) not in self._done:
                self._hear()
            if not seen(strip_in(folder, row), _PATIENCE_S):
                raise OutputError(
                    f"{strip_in(folder, row)} was written by a worker and is not seen here: "
                    "outputs must lie on a file system that all machines share"
                )
            yield row

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._given))
        self._client.close()

    def _give(self) -> None:
        room = _ROWS_AHEAD * max(1, sum(self._client.nthreads().values())) - len(self._given)
        from geoconvlora.inference.cluster_rows import map_row

        for _ in range(min(room, len(self._waiting))):
            scene, row = self._waiting.popleft()
            name = f"{scene.task.scene.name} row {row} {secrets.token_hex(8)}"
            future = self._client.submit(map_row, self._order, scene, row, key=name, pure=False)
            self._given[future] = (scene.folder, row)

    def _hear(self) -> None:
        """Wait for news, note the rows that were finished, and give out others."""
        from distributed import wait

        try:
            try:
                with self._client.as_current():
                    news = wait(list(self._given), timeout=60, return_when="FIRST_COMPLETED")
            except TimeoutError:
                self._wait_for_workers(_WORKERS_S)
                return
            for future in news.done:
                future.result()
                self._done.add(self._given.pop(future))
        except (CancelledError, OSError) as error:
            raise self._gone() from error
        except Exception as error:
            raise self._understood(error) from error
        self._give()

    def _understood(self, error: Exception) -> Exception:
        """What is to be raised for an error that came from the cluster."""
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return WorkerError(
                f"workers at {self._address} died again and again on one row of tiles "
                f"({error.last_worker.address} last): is their memory too small? Start them with "
                "fewer threads, or give a smaller --batch-size"
            )
        if isinstance(error, (ImportError, AttributeError)):
            return ConfigError(
                f"a worker at {self._address} cannot load geoconvlora or the model's code "
                f"({error}): install the same on all machines"
            )
        return error

    def _gone(self) -> WorkerError:
        return WorkerError(
            f"the scheduler at {self._address} went away: start it again, and go on with --resume"
        )

    def _wait_for_workers(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while not self._client.nthreads():
            if time.monotonic() > until:
                raise WorkerError(
                    f"the scheduler at {self._address} has no workers: start some, e.g. "
                    f"dask worker {self._address}"
                )
            time.sleep(0.2)

    def _ask_workers(self, token: Path, device: str, precision: Precision) -> Hardware:
        from geoconvlora.inference.cluster_rows import hardware_of_worker

        answers = self._client.run(
            hardware_of_worker,
            token,
            __version__,
            device,
            precision,
            _PATIENCE_S,
            on_error="return",
        )
        for answer in answers.values():
            if isinstance(answer, Exception):
                raise self._understood(answer)
        kinds: dict[Hardware, str] = {answer: worker for worker, answer in answers.items()}
        if len(kinds) > 1:
            listed = ", ".join(f"{kind} on {worker}" for kind, worker in sorted(kinds.items()))
            raise ConfigError(
                f"workers have different devices ({listed}), whose results differ by rounding: "
                "choose one with --device, and --precision 32"
            )
        return next(iter(kinds))

    def _order_of(
        self, model: str | Path | Model, base: str | Path | None, device: str, token: Path
    ) -> RowOrder:
        from geoconvlora.inference.cluster_rows import RowOrder

        return RowOrder(
            self._source_of(model, base),
            device=device,
            precision="bf16" if self.hardware.bf16 else "32",
            token=token,
            version=__version__,
            patience_s=_PATIENCE_S,
        )

    def _source_of(self, model: str | Path | Model, base: str | Path | None) -> ModelSource:
        from geoconvlora.inference.cluster_rows import NamedModel, PickledModel

        if isinstance(model, (str, PathLike)):
            return NamedModel(
                _name(model), None if base is None else _name(base), model_digest(model)
            )
        try:
            content = pickle.dumps(model)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"this model cannot be sent to other machines ({error}): name its file"
            ) from error
        path = self._folder / "model.part"
        path.write_bytes(content)
        return PickledModel(path, hashlib.sha256(content).hexdigest())


@contextmanager
def cluster_of(
    address: str | None,
    folder: Path,
    model: str | Path | Model,
    base: str | Path | None,
    *,
    device: str,
    precision: Precision,
) -> Iterator[Cluster | None]:
    """Hold a :class:`Cluster` where one is asked for; None where not."""
    if address is None:
        yield None
        return
    with Cluster(address, folder, model, base, device=device, precision=precision) as cluster:
        yield cluster


def _connected(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError(
            "--dask needs dask.distributed: pip install 'geoconvlora[dask]'"
        ) from error
    how: dict[str, Any] = (
        {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    )
    try:
        return Client(**how, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no scheduler answers at {address} ({error}): give its address, "
            "e.g. tcp://10.0.0.1:8786, or its scheduler file"
        ) from error


def _name(weights: str | Path) -> str:
    """A known name as it is; a file's so that all machines find it."""
    path = Path(weights)
    if str(weights) in bundled_models() or not path.exists():
        return str(weights)
    return str(path.absolute())
