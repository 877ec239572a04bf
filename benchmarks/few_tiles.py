"""What a few labelled tiles of one's own place are worth: ``train --init`` on 1 to 30 of them.

    python scripts/dubai_tiles.py ../shared/data/train/landcover_dubai_rgb dubai_256 --side 256
    python benchmarks/few_tiles.py dubai_256 --out DIR

The place is one that the model has not seen. Tiles for training are drawn from its first four
images, and the scores are of its other five: mean IoU of five classes, over two draws. Every run
is of 240 crops, so of one or two minutes on one core, and nothing is chosen by the test tiles.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import geoconvlora
from geoconvlora.compare.scoring import score
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.config_file import load_config
from geoconvlora.training.tile_pool import find_pairs

COUNTS = (1, 3, 10, 30)
SEEDS = (1, 2)
FOR_TRAINING = ("001", "002", "003", "004")
CROPS, BATCH, RATE = 240, 8, 1e-4


def configuration(
    tiles: Path, model: str, train: list[str], test: list[str], out: Path, seed: int
) -> TrainConfig:
    """A short run on some tiles; it validates once, at its end."""
    return load_config(
        None,
        {
            "init": model,
            "seed": seed,
            "data": {
                "kind": "tiles",
                "images": tiles / "test" / "images",
                "labels": tiles / "test" / "labels",
                "train_tiles": train,
                "val_tiles": test,
                "samples_per_epoch": CROPS,
            },
            "optim": {"epochs": 1, "batch_size": BATCH, "lr": RATE},
            "augment": {"brightness": 0.1, "contrast": 0.1, "scale": 0.3},
            "num_workers": 0,
            "out": out,
        },
    )


def mean_iou(model: str | Path, config: TrainConfig, names: list[str]) -> float:
    """Mean IoU of a model on some tiles."""
    (data,) = config.sources
    pairs = find_pairs(config, data, data.images, data.labels, names)  # type: ignore[union-attr,arg-type]
    loaded = geoconvlora.load(model)
    found = score(loaded, pairs, batch_size=8, device=torch.device("cpu"), tolerance_px=2)
    return found.miou


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--model", default="landcover")
    parser.add_argument("--place", default="tile5")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    names = sorted(
        path.stem for path in (options.tiles / "test" / "images").glob(f"{options.place}_*.tif")
    )
    own = [name for name in names if name.split("_")[1] in FOR_TRAINING]
    test = [name for name in names if name not in own]
    print(f"{options.place}: {len(own)} tiles to draw from, {len(test)} to test on\n")
    print("| tiles | mean IoU | draws |\n|---|---|---|")
    config = configuration(
        options.tiles, options.model, own, test, options.out / "x.safetensors", 0
    )
    print(f"| 0 | {mean_iou(options.model, config, test):.3f} | |", flush=True)
    for count in COUNTS:
        found = []
        for seed in SEEDS:
            chosen = np.random.default_rng(seed).permutation(own)[:count].tolist()
            out = options.out / f"{count}-{seed}.safetensors"
            # One tile validates, so that a run takes no longer than its crops.
            config = configuration(options.tiles, options.model, chosen, test[:1], out, seed)
            geoconvlora.train(config, overwrite=True)
            found.append(mean_iou(out, config, test))
        draws = ", ".join(f"{value:.3f}" for value in found)
        print(f"| {count} | {np.mean(found):.3f} | {draws} |", flush=True)


if __name__ == "__main__":
    main()
