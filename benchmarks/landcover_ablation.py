"""What the parts of ``landcover`` are worth: pretraining, landscapes, the adapter; three seeds.

    python scripts/dubai_tiles.py ../shared/data/train/landcover_dubai_rgb dubai_places --side 4096
    python scripts/masked_pretraining.py ../shared/data/train vit_t-pixels.safetensors
    python benchmarks/landcover_ablation.py dubai_places --pixels vit_t-pixels.safetensors --out DIR

Every row is ``configs/landcover_places.yaml`` with one part changed, trained on a fifth of its
crops, of Dubai alone, with stronger changes of colour, and scored on the places that none has
seen. What is in DIR already is not trained again. On two cores an hour and a half; on a GPU a few
minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from landcover_dubai import CLASSES, geoconvlora, score

from geoconvlora.evaluate import class_iou

CONFIG = Path(__file__).parents[1] / "configs" / "landcover_places.yaml"
SEEDS = (1, 2, 3)
EPOCHS, BATCH = 2, 16
RANDOM_SEED = 7


def rows(pixels: Path, random: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """What a row is called, and what it changes in the configuration's model."""
    return {
        "conv": ("pretraining, landscapes, Conv-LoRA", {}),
        "lora": ("LoRA in place of Conv-LoRA", {"method": "lora", "settings": LORA}),
        "decoder": ("decoder only", {"method": "decoder-only", "settings": {}}),
        "pixels": ("without landscapes: a base pretrained on pixels", {"base": str(pixels)}),
        "random": ("without either: a base of random weights", {"base": str(random)}),
    }


LORA = {"rank": 8, "alpha": 16}
AUGMENT = {
    "brightness": 0.3,
    "contrast": 0.3,
    "band_brightness": 0.2,
    "band_contrast": 0.2,
    "scale": 1.0,
}
LOSS = {"name": "ce+dice", "class_weights": [1, 1, 1.5, 1.5, 2]}


def write_random_base(like: Path, out: Path) -> None:
    """A base with the encoder's names of another and random weights."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    from geoconvlora.sam import build_segmenter

    torch.manual_seed(RANDOM_SEED)
    network = build_segmenter("vit_t", classes=len(CLASSES), bands=3).state_dict()
    with safe_open(like, "pt") as file:
        about, names = file.metadata(), list(file.keys())
        weights = {
            name: network[name.removeprefix("image_")].to(file.get_tensor(name).dtype)
            for name in names
            if name.startswith("image_encoder.")
        }
    save_file(weights, out, metadata=about)


def train(change: dict[str, Any], tiles: Path, crops: int, seed: int, out: Path) -> None:
    """Train a row with a seed."""
    config = yaml.safe_load(CONFIG.read_text())
    config["model"] |= change
    config["data"] = {
        f"{part}{kind}": str(tiles / folder / kind)
        for part, folder in (("", "train"), ("val_", "val"))
        for kind in ("images", "labels")
    } | {"kind": "tiles", "samples_per_epoch": crops // EPOCHS}
    config["optim"] |= {"epochs": EPOCHS, "batch_size": BATCH}
    config |= {"seed": seed, "out": str(out), "augment": AUGMENT, "loss": LOSS}
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "geoconvlora", "train", str(path)]
    subprocess.run(command, check=True)


def measure(model: Path, tiles: Path) -> np.ndarray:
    """IoU of the classes over all test places."""
    total = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    with tempfile.TemporaryDirectory() as folder:
        for truth in sorted((tiles / "test").glob("*_labels.tif")):
            scene = truth.with_name(truth.name.replace("_labels", ""))
            out = Path(folder) / scene.name
            geoconvlora("predict", scene, "--model", model, "-o", out)
            total += score(out, truth)[1]
    return class_iou(total)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--pixels", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=2800)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    random = options.out / "vit_t-random.safetensors"
    if not random.exists():
        write_random_base(options.pixels, random)
    print("| model | mean IoU | seeds | " + " | ".join(CLASSES) + " |")
    print("|---|---|---|" + "---|" * len(CLASSES))
    for key, (name, change) in rows(options.pixels, random).items():
        found = []
        for seed in SEEDS:
            model = options.out / f"{key}-{seed}.safetensors"
            if not model.exists():
                train(change, options.tiles, options.crops, seed, model)
            found.append(measure(model, options.tiles))
        means = [float(iou.mean()) for iou in found]
        cells = " | ".join(f"{value:.3f}" for value in np.mean(found, axis=0))
        seeds = ", ".join(f"{value:.3f}" for value in means)
        print(f"| {name} | {np.mean(means):.3f} | {seeds} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
