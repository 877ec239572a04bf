"""Writing in a thread, while the next batches are being made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread, main_thread
from typing import ClassVar

import pyarrow as pa

_BATCHES_WAITING = 3
_LOOK_S = 0.1


class ThreadSink:
    """Takes batches, and hands them to a function that writes in a thread of its own.

    Args:
        consume: Writes all batches, from the first to the last; it is called once.
    """

    # Few, as several wait; the same rows are written whatever it is.
    batch_rows: ClassVar[int] = 4096

    def __init__(self, consume: Callable[[Iterator[pa.RecordBatch]], None]) -> None:
        self._queue: Queue[pa.RecordBatch | None] = Queue(_BATCHES_WAITING)
        self._stopped = False
        self._failure: Exception | None = None
        # Python's own word for a thread that begins comes late: an interrupt may be earlier.
        self._lock, self._begun, self._ended = Lock(), False, Event()
        self._thread = Thread(target=self._run, args=(consume,))
        try:
            self._thread.start()
        except BaseException:
            # An interrupt while we wait for it to begin: nobody else knows of it yet.
            self.abort()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        """Hand a batch over, once there is room for it.

        Raises:
            Exception: What the thread ended with.
        """
        self._put(batch)

    def close(self) -> None:
        """Wait until the file is complete.

        Raises:
            Exception: What the thread ended with.
        """
        self._put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def abort(self) -> None:
        """Let the thread end; one that has not begun writes nothing."""
        with self._lock:
            self._stopped = True
        if self._begun:
            self._ended.wait()

    def _put(self, batch: pa.RecordBatch | None) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(batch, timeout=_LOOK_S)
            except Full:
                continue
            return
        if self._failure is not None:
            raise self._failure

    def _batches(self) -> Iterator[pa.RecordBatch]:
        # A sink that an interrupt has cut off from its writer ends with the process: Python waits
        # for the thread, and breaks down where a thread that it does not wait for calls it then.
        while not self._stopped and main_thread().is_alive():
            try:
                batch = self._queue.get(timeout=_LOOK_S)
            except Empty:
                continue
            if batch is None:
                return
            yield batch

    def _run(self, consume: Callable[[Iterator[pa.RecordBatch]], None]) -> None:
        with self._lock:
            if self._stopped:
                return
            self._begun = True
        try:
            consume(self._batches())
        except Exception as failure:
            self._failure = failure
        finally:
            self._ended.set()
