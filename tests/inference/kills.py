"""Kills prediction at random moments and resumes it: a script that tests start in its own process.

    python kills.py FOLDER KILLS

It forks before torch works, so that a kill costs no import. Prints a line of JSON a kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from known_models import make_card
from networks import convolution
from torch import nn

from geoconvlora.inference import predict
from geoconvlora.weights import Model


class Slow(nn.Module):
    """Takes its time, so that a kill meets it anywhere."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.network, self.seconds = convolution(), seconds
        self.calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        time.sleep(self.seconds)
        found: torch.Tensor = self.network(images)
        return found


def outputs(folder: Path) -> dict[str, object]:
    return {
        "out": [folder / "c.tif", folder / "c.gpkg"],
        "probs": folder / "p.tif",
        "uncertainty": folder / "u.tif",
    }


def run(folder: Path, *, seconds: float, **options: object) -> int:
    network = Slow(seconds)
    predict(folder / "scene.tif", model=Model(make_card(), network), **outputs(folder), **options)
    return network.calls


def in_child(folder: Path, kill_after: float | None, **options: object) -> int | None:
    """Run in a fork; kill it, or return what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        calls = run(folder, seconds=0.05, **options)
        os.write(writing, str(calls).encode())
        os._exit(0)
    os.close(writing)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    said = os.read(reading, 20)
    os.close(reading)
    if os.WIFSIGNALED(status):
        return None
    assert os.waitstatus_to_exitcode(status) == 0
    return int(said)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    started = time.monotonic()
    whole_calls = in_child(folder, None)
    seconds = time.monotonic() - started
    whole = contents(folder)
    draw = random.Random(kills)
    for _ in range(kills):
        for name in whole.keys() - {"scene.tif"}:
            (folder / name).unlink()
        moments = [draw.uniform(0, 1) * seconds]
        killed = in_child(folder, moments[0]) is None
        strips = len(list(folder.glob(".c.gpkg.run/*.strip")))
        finished = contents(folder).keys() == whole.keys() and not list(folder.glob(".c*"))
        calls = 0 if finished else in_child(folder, None, resume=True)
        found = {path.name for path in folder.iterdir()}
        report = {
            "killed": killed,
            "strips": strips,
            "calls": calls,
            "whole_calls": whole_calls,
            "same": contents(folder) == whole,
            "left": sorted(found - whole.keys()),
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
