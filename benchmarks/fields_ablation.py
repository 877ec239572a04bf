"""What the parts of ``fields`` are worth: pretraining, landscapes, self-training, the adapter.

    python scripts/field_scenes.py ../shared/data/train field_scenes
    python benchmarks/fields_ablation.py field_scenes --data ../shared/data --out DIR

Every row is the network, loss and optimiser of ``configs/fields.yaml`` on 3,600 samples: 74 % are
landscapes, 18 % real scenes with the labels that a model made of what it is sure of, 8 % real
scenes without fields; and one part is changed. Three seeds, scored in the labelled windows of
``field_belgium_s2`` by RULE. What is in DIR already is not trained again, and a run that was
interrupted goes on. On two cores six hours; at once on an H200 six minutes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from fields_belgium import DATA, Labels, predicted_polygons
from landcover_ablation import write_random_base

from geoconvlora.weights.catalogue import bundled_bases

CONFIG = Path(__file__).parents[1] / "configs" / "fields.yaml"
SEEDS = (1, 2, 3)
SAMPLES, EPOCHS = 900, 4
FIELD_FREE = {"carolina-coast": 0.05, "dunes": 0.03}
"""Scenes without fields, and the weights with which they are drawn."""
# One of the three years of NAIP is left out: the folder had to fit where the runs were made.
LABELLED = (
    "germany-s2-a",
    "germany-s2-b",
    "cambodia-s2",
    "luxembourg-s2",
    "dakota-naip-2014",
    "dakota-naip-2019",
    "ukraine-s2-1",
    "ukraine-s2-2",
    "sen12ms-winter",
)
DRAWN, LABELLED_BY_MODEL = 0.74, 0.18
WILDERNESS, OVERCAST = 0.05, 0.04
LORA = {"rank": 4, "alpha": 16}
RULE = {"seed_depth": 0.3, "min_extent": 0.6, "max_boundary": 0.4}
"""Of the objects; that of the bundled model when the table in docs/training.md was made."""

Section = dict[str, Any]


def scenes_source(folder: Path, names: Sequence[str], weight: float, val_samples: int) -> Section:
    """Scenes in true and, where there are such, false colours, with their labels."""
    scenes = [
        {"image": str(image), "labels": str(folder / f"{name}-labels.tif"), "bands": [1, 2, 3]}
        for name in names
        for colours in ("true", "false")
        if (image := folder / f"{name}-{colours}.tif").exists()
    ]
    source = {"kind": "scenes", "val_samples": val_samples, "scenes": scenes}
    return {"weight": weight, "source": source}


def data_section(
    folder: Path,
    seed: int,
    *,
    drawn: bool = True,
    labelled_by_model: bool = True,
    field_free: bool = True,
) -> Section:
    """Landscapes, scenes that a model labelled, and scenes (and landscapes) without fields."""
    sources = []
    if drawn:
        landscapes = {"kind": "synthetic", "seed": seed + 10, "val_samples": 48, "upscale": 2}
        if field_free:
            landscapes |= {"wilderness": WILDERNESS, "overcast": OVERCAST}
        sources.append({"weight": DRAWN, "source": landscapes})
    if labelled_by_model:
        sources.append(scenes_source(folder, LABELLED, LABELLED_BY_MODEL, 16))
    if field_free:
        sources += [scenes_source(folder, [name], share, 8) for name, share in FIELD_FREE.items()]
    return {"kind": "mix", "samples_per_epoch": SAMPLES, "sources": sources}


def rows(random: Path) -> dict[str, tuple[str, Section, Section]]:
    """What a row is called, what it changes of the model, and which data it has."""
    every: Section = {}
    return {
        "full": ("all parts", {}, every),
        "random": ("without the base: random encoder, new decoder", {"base": str(random)}, every),
        "nodrawn": ("without landscapes", {}, {"drawn": False}),
        "noself": ("without self-training", {}, {"labelled_by_model": False}),
        "lora": ("LoRA in place of Conv-LoRA", {"method": "lora", "settings": LORA}, every),
        "decoder": ("decoder only", {"method": "decoder-only", "settings": {}}, every),
        "plain": (
            "landscapes alone, none of them wild",
            {},
            {"labelled_by_model": False, "field_free": False},
        ),
    }


def train(model: Section, data: Section, seed: int, out: Path) -> None:
    """Train a row with a seed."""
    config = yaml.safe_load(CONFIG.read_text())
    config["model"] |= model
    config["optim"]["epochs"] = EPOCHS
    config["instances"] |= RULE
    config |= {
        "data": data,
        "split": {"fraction": 0.1, "test_fraction": 0, "absent_classes": "warn", "seed": seed},
        "augment": {"brightness": 0.15, "contrast": 0.15},
        "seed": seed,
        "out": str(out),
    }
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config))
    unfinished = out.with_suffix(".run") / "last.ckpt"
    resume = ["--resume"] if unfinished.exists() else []
    command = [sys.executable, "-m", "geoconvlora", "train", str(path), *resume]
    subprocess.run(command, check=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenes", type=Path, help="what scripts/field_scenes.py wrote")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with train/")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    random = options.out / "vit_t-random.safetensors"
    if not random.exists():
        write_random_base(bundled_bases()["vit_t-fields"], random)
    labels = Labels(options.data / "train" / "field_belgium_s2")
    print("| model | object F1 | seeds | extent IoU | seeds |\n|---|---|---|---|---|")
    for key, (name, model, data) in rows(random).items():
        found = []
        for seed in SEEDS:
            out = options.out / f"{key}-{seed}.safetensors"
            if not out.exists():
                train(model, data_section(options.scenes, seed, **data), seed, out)
            found.append(labels.scores(predicted_polygons(labels.scene, str(out), "auto", "none")))
        cells = []
        for values in ([s["all"].f1 for s in found], [s["all"].extent_iou for s in found]):
            shown = ", ".join(f"{value:.3f}" for value in values)
            cells.append(f"{statistics.mean(values):.3f} | {shown}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
