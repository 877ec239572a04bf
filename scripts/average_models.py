"""Average the weights of models that were trained on from one another.

    python scripts/average_models.py mean.safetensors first.safetensors=1 second.safetensors=3

The mean lies in the same valley of the loss, and is mostly better than either (Wortsman et al.,
"Model soups", ICML 2022). The card is the last model's, with all data that any of them has seen and
without scores, which were of one of them; it says what was averaged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import geoconvlora
from geoconvlora.weights import save_model

SAME = ("base", "method", "method_settings", "decoder", "classes", "bands", "scaling")


def main() -> None:
    """Write the averaged model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+", help="FILE=WEIGHT; the last one's card is kept")
    options = parser.parse_args()
    parts = [text.rpartition("=") for text in options.models]
    try:
        weights = torch.tensor([float(weight) for _, _, weight in parts], dtype=torch.float64)
    except ValueError:
        raise SystemExit("give each model as FILE=WEIGHT") from None
    if weights.min() < 0 or weights.sum() <= 0:
        raise SystemExit("weights must be positive")
    weights /= weights.sum()
    models = [geoconvlora.load(file) for file, _, _ in parts]
    last = models[-1]
    for name in SAME:
        if any(getattr(model.card, name) != getattr(last.card, name) for model in models):
            raise SystemExit(f"the models differ in {name}, so their weights cannot be averaged")
    states = [model.network.state_dict() for model in models]
    mean = {
        name: sum(w * s[name].double() for w, s in zip(weights, states, strict=True)).to(kept.dtype)
        if kept.is_floating_point()
        else kept
        for name, kept in states[-1].items()
    }
    last.network.load_state_dict(mean)
    lines = [line for model in models for line in model.card.training.data]
    averaged = {Path(file).name: float(weight) for file, _, weight in parts}
    record = last.card.training.model_copy(
        update={
            "data": tuple(dict.fromkeys(lines)),
            "config": {**last.card.training.config, "averaged": averaged},
            "metrics": {},
        }
    )
    card = last.card.model_copy(update={"training": record})
    print(save_model(options.out, last.network, card, overwrite=True))


if __name__ == "__main__":
    main()
