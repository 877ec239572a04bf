"""A stage that works ahead of the next one, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], *, depth: int) -> Generator[Item, None, None]:
    """Yield the same items, made in another thread while the caller works on those before.

    Errors, Ctrl-C included, come out where the item would have. Closing the generator stops the
    thread once the item that it is making is done.

    Args:
        items: Consumed in the other thread only.
        depth: Items that may wait, at least 1; one more may be in the making.

    Example:
        >>> list(ahead(range(3), depth=1))
        [0, 1, 2]
    """
    waiting: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(depth)
    end = StopIteration()
    stopped = threading.Event()

    def wanted() -> bool:
        # A generator that nobody closes ends with the process. Python waits for the thread, and
        # breaks down where a thread that it does not wait for calls it then.
        return not stopped.is_set() and threading.main_thread().is_alive()

    def put(item: Item | None, error: BaseException | None) -> None:
        while wanted():
            try:
                waiting.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def make() -> None:
        try:
            for item in items:
                put(item, None)
                if not wanted():
                    return
        except BaseException as error:
            put(None, error)
        else:
            put(None, end)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=make, name="ahead")
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is end:
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
