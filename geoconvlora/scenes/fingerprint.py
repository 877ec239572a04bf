"""Telling whether a scene is still the one that it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import open_dataset
from geoconvlora.scenes.sampling import sample_valid_pixels
from geoconvlora.scenes.scene import Scene

#: Pixels of a remote scene that are looked at.
_REMOTE_PIXELS = 2**16


def fingerprint(scene: Scene) -> str:
    """Return a text that changes when the scene does.

    Of local files (a VRT's sources and sidecar files too) it is their size and time of change,
    which cost nothing and notice an edit in place; a copy counts as changed unless it keeps the
    time. A remote scene has no reliable time, so a sample of its pixels is hashed.

    Raises:
        SceneError: A remote file cannot be read.

    Example:
        >>> fingerprint(scene)  # doctest: +SKIP
        'scene.tif 38013 1700000000000000000'
    """
    with raster_environment(), open_dataset(scene.path) as dataset:
        files = [Path(name) for name in dataset.files]
        shape = f"{dataset.width} x {dataset.height} x {dataset.count} {dataset.dtypes[0]}"
    stamps = []
    for file in sorted(files):
        if not file.exists():
            sample = sample_valid_pixels(scene, _REMOTE_PIXELS)
            return f"{shape} {hashlib.sha256(sample.tobytes()).hexdigest()}"
        stamp = file.stat()
        stamps.append(f"{file.name} {stamp.st_size} {stamp.st_mtime_ns}")
    return "; ".join(stamps) or shape
