"""What a few outlined squares of one's own place are worth to `fields`: ``train --init``.

    python benchmarks/few_windows.py --data ../shared/data --out DIR

The place is `field_belgium_s2`, which no bundled model trained on: squares of 640 m, each with
about 18 fields drawn by hand. Runs train on 1, 3 or 7 of seven squares, and are scored on the
other four, with the settings of the bundled model; two draws of each count. Every run is of 240
samples, so of one or two minutes on one core, and nothing is chosen by the four squares.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
from fields_belgium import DATA, Labels, predicted_polygons

import geoconvlora
from geoconvlora.evaluate import ObjectScores
from geoconvlora.training.config_file import load_config

COUNTS = (1, 3, 7)
SEEDS = (1, 2)
FOR_TESTING = 4
SAMPLES, BATCH, RATE = 240, 8, 1e-4


def trained(labels: Labels, own: gpd.GeoDataFrame, model: str, seed: int, out: Path) -> Path:
    """The model trained on with what lies within some squares."""
    fields, squares = out.with_suffix(".fields.gpkg"), out.with_suffix(".squares.gpkg")
    labels.fields.to_file(fields)
    own.to_file(squares)
    config = load_config(
        None,
        {
            "init": model,
            "seed": seed,
            "data": {
                "kind": "scenes",
                "scenes": [
                    {
                        "image": labels.scene,
                        "labels": fields,
                        "extent": squares,
                        "bands": [1, 2, 3],
                    }
                ],
                "boundary_width_px": 2,
                "samples_per_epoch": SAMPLES,
                "val_samples": 2,
            },
            "split": {"fraction": 0.1, "test_fraction": 0, "absent_classes": "warn"},
            "optim": {"epochs": 1, "batch_size": BATCH, "lr": RATE},
            "augment": {"flips": True, "quarter_turns": True},
            "num_workers": 0,
            "out": out,
        },
    )
    geoconvlora.train(config, overwrite=True)
    return out


def scores(labels: Labels, windows: gpd.GeoDataFrame, model: str | Path) -> ObjectScores:
    """Of what `predict` writes, inside some squares."""
    found = predicted_polygons(labels.scene, str(model), "auto", "none")
    return labels.scores_in(windows, found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with train/")
    parser.add_argument("--model", default="fields")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    options.out.mkdir(exist_ok=True)
    labels = Labels(options.data / "train" / "field_belgium_s2")
    own, test = labels.windows.iloc[:-FOR_TESTING], labels.windows.iloc[-FOR_TESTING:]
    print("| squares | object F1 | draws | extent IoU |\n|---|---|---|---|")
    before = scores(labels, test, options.model)
    print(f"| 0 | {before.f1:.3f} | | {before.extent_iou:.3f} |", flush=True)
    for count in COUNTS:
        found = []
        for seed in SEEDS:
            chosen = np.random.default_rng(seed).permutation(len(own))[:count]
            out = options.out / f"{count}-{seed}.safetensors"
            model = trained(labels, own.iloc[chosen], options.model, seed, out)
            found.append(scores(labels, test, model))
        mean = np.mean([each.f1 for each in found])
        draws = ", ".join(f"{each.f1:.3f}" for each in found)
        extent = np.mean([each.extent_iou for each in found])
        print(f"| {count} | {mean:.3f} | {draws} | {extent:.3f} |", flush=True)


if __name__ == "__main__":
    main()
