from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

COUNT = """
import ctypes, sys, threading
from geoconvlora.cli.memory import share_arenas

if sys.argv[1] == "shared":
    share_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
together = threading.Barrier(8)

def work():
    libc.malloc(ctypes.c_size_t(10_000))
    together.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for each in threads:
    each.start()
for each in threads:
    each.join()
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc"
)
def test_threads_share_two_arenas() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    arenas = {
        mode: subprocess.run(
            [sys.executable, "-c", COUNT, mode],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout.count("<heap nr=")
        for mode in ("shared", "own")
    }
    assert arenas["shared"] == 2
    assert arenas["own"] > 2
