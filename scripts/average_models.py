"""Average the weights of models that were trained on from one another.

    python scripts/average_models.py mean.safetensors first.safetensors=1 second.safetensors=3

The mean lies in the same valley of the loss, and is mostly better than either (Wortsman et al.,
"Model soups", ICML 2022). The card is the last model's, with all data that either has seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import geoconvlora
from geoconvlora.weights import save_model


def main() -> None:
    """Write the averaged model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+", help="FILE=WEIGHT, the last one's card is kept")
    options = parser.parse_args()
    named = [text.rsplit("=", 1) for text in options.models]
    weights = torch.tensor([float(weight) for _, weight in named], dtype=torch.float64)
    weights /= weights.sum()
    models = [geoconvlora.load(file) for file, _ in named]
    states = [model.network.state_dict() for model in models]
    last = models[-1]
    mean = {
        name: sum(w * s[name].double() for w, s in zip(weights, states, strict=True)).to(kept.dtype)
        if kept.is_floating_point()
        else kept
        for name, kept in states[-1].items()
    }
    last.network.load_state_dict(mean)
    lines = [line for model in models for line in model.card.training.data]
    record = last.card.training.model_copy(update={"data": tuple(dict.fromkeys(lines))})
    card = last.card.model_copy(update={"training": record})
    print(save_model(options.out, last.network, card, overwrite=True))


if __name__ == "__main__":
    main()
