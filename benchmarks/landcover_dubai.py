"""Land cover of Dubai: a model against a random forest, on places that neither has seen.

    python scripts/dubai_tiles.py ../shared/data/train/landcover_dubai_rgb dubai_tiles
    python benchmarks/landcover_dubai.py dubai_tiles --model landcover-aerial.safetensors

The forest (needs ``pip install scikit-learn``) sees colour, edges and roughness of each pixel at
five scales and is trained on pixels of the same training tiles. Scores are of ``evaluate``, with
95 % intervals over blocks; the printed mean is over the classes of all test places together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from scipy import ndimage

from geoconvlora.evaluate import class_iou

SCALES = (1, 2, 4, 8, 16)
IGNORE = 255
CLASSES = ("land", "water", "vegetation", "building", "road")
METHODS = ("model", "random forest")
PIXELS_A_TILE = 100
"""Training pixels of a tile: 116,000 in all."""
ROWS = 256
TREES = 32


def features(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colour, edges and roughness at several scales: (H, W, 27) of an image (3, H, W)."""
    values = image.astype(np.float32) / 255
    grey = values.mean(axis=0)
    layers = [*values, grey]
    for sigma in SCALES:
        layers += [ndimage.gaussian_filter(band, sigma) for band in values]
        layers.append(ndimage.gaussian_gradient_magnitude(grey, sigma))
        mean = ndimage.gaussian_filter(grey, sigma)
        layers.append(np.maximum(ndimage.gaussian_filter(grey**2, sigma) - mean**2, 0) ** 0.5)
    return np.stack(layers, axis=-1)


def trained_forest(tiles: Path, seed: int):  # type: ignore[no-untyped-def]
    """A random forest of a sample of the training tiles' pixels."""
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(seed)
    inputs, targets = [], []
    for path in sorted((tiles / "train" / "images").glob("*.tif")):
        with rasterio.open(path) as raster:
            image = raster.read((1, 2, 3))
        with rasterio.open(tiles / "train" / "labels" / path.name) as raster:
            label = raster.read(1).ravel()
        labelled = np.flatnonzero(label != IGNORE)
        chosen = rng.choice(labelled, min(PIXELS_A_TILE, len(labelled)), replace=False)
        table = features(image)
        inputs.append(table.reshape(-1, table.shape[-1])[chosen])
        targets.append(label[chosen])
    forest = RandomForestClassifier(
        TREES, min_samples_leaf=20, class_weight="balanced_subsample", n_jobs=-1, random_state=seed
    )
    return forest.fit(np.concatenate(inputs), np.concatenate(targets))


def write_forest_map(forest, scene: Path, out: Path) -> None:  # type: ignore[no-untyped-def]
    """The forest's class raster of a scene."""
    with rasterio.open(scene) as raster:
        image, profile = raster.read((1, 2, 3)), raster.profile
        valid = raster.dataset_mask() > 0
    classes = np.full(valid.shape, IGNORE, np.uint8)
    table = features(image)
    for row in range(0, valid.shape[0], ROWS):
        part = table[row : row + ROWS]
        found = forest.predict(part.reshape(-1, part.shape[-1])).reshape(part.shape[:2])
        classes[row : row + ROWS] = np.where(valid[row : row + ROWS], found, IGNORE)
    profile.update(count=1, nodata=IGNORE, photometric="minisblack")
    profile.pop("alpha", None)
    with rasterio.open(out, "w", **profile) as raster:
        raster.write(classes, 1)


def geoconvlora(*arguments: object) -> str:
    """What a command of geoconvlora prints."""
    command = [sys.executable, "-m", "geoconvlora", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def score(path: Path, truth: Path) -> tuple[str, NDArray[np.int64]]:
    """Mean IoU with its interval as text, and the confusion (true, predicted) of the classes."""
    found = json.loads(geoconvlora("evaluate", path, truth, "--json"))
    mean = found["mean"]["iou"]
    text = f"{mean['value']:.3f} ({mean['low']:.2f}-{mean['high']:.2f})"
    return text, np.array(found["confusion"], np.int64)[: len(CLASSES), : len(CLASSES)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--model", default="landcover-aerial.safetensors")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    forest = trained_forest(options.tiles, options.seed)
    totals = {name: np.zeros((len(CLASSES), len(CLASSES)), np.int64) for name in METHODS}
    print("| place | method | mean IoU (95 %) |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for truth in sorted((options.tiles / "test").glob("*_labels.tif")):
            scene = truth.with_name(truth.name.replace("_labels", ""))
            for name in METHODS:
                out = Path(folder) / f"{scene.stem}-{name.replace(' ', '_')}.tif"
                if name == "random forest":
                    write_forest_map(forest, scene, out)
                else:
                    geoconvlora("predict", scene, "--model", options.model, "-o", out)
                text, counts = score(out, truth)
                totals[name] += counts
                print(f"| {scene.stem} | {name} | {text} |", flush=True)
    print(f"\n| all places | mean | {' | '.join(CLASSES)} |\n|---|---|{'---|' * len(CLASSES)}")
    for name, counts in totals.items():
        iou = class_iou(counts)
        print(f"| {name} | {iou.mean():.3f} | {' | '.join(f'{v:.3f}' for v in iou)} |")


if __name__ == "__main__":
    main()
