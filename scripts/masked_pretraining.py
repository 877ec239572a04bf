"""Pretrain ``vit_t`` and its decoder on real pixels without labels, by masked image modelling.

    python scripts/masked_pretraining.py ../shared/data/train vit_t-pixels.safetensors

Half of an image's patches, in blocks of two by two, are replaced by one learnt token. From the
embeddings a linear layer, and from the decoder its three masks, give back the image, averaged to
half and to a quarter of its resolution (SimMIM, Xie et al. 2022; there the head is linear alone).
The patch embedding starts with the principal components of the patches: what a small budget would
otherwise go into.
The scenes are those of ``make_palettes.py``, which may all be used for weights that are shipped.
The result is a base for ``train``; an interrupted run goes on where it last saved.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from make_palettes import SCENES, read, trimmed
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.sam import Segmenter, build_segmenter
from geoconvlora.sam.sizes import PATCH
from geoconvlora.weights import save_base

SIDE = 192
BATCH = 8
MASKED = 0.5
BLOCK = 2
"""Side in patches of what is masked together."""
MEAN, STD = 0.5, 0.25
"""Of values scaled by percentiles, as in ``configs/fields_base.yaml``."""
KEEP_EVERY = 50
"""Steps between two states on disk."""


class Scenes:
    """Real scenes, scaled by their percentiles, and random crops of them."""

    def __init__(self, folder: Path) -> None:
        self.images: list[NDArray[np.float32]] = []
        for _, files, bands, _, window, _ in SCENES:
            values, valid = trimmed(*read(folder, files, bands, window))
            low, high = (np.percentile(values[:, valid], q, axis=1) for q in (2, 98))
            scaled = (values - low[:, None, None]) / (high - low)[:, None, None]
            scaled = np.where(valid, np.clip(scaled, -0.2, 1.5), MEAN)
            self.images.append(scaled.astype(np.float32))
        areas = np.array([image.shape[1] * image.shape[2] for image in self.images])
        self.shares = np.sqrt(areas) / np.sqrt(areas).sum()

    def crop(self, draw: np.random.Generator) -> Tensor:
        """One image, (3, SIDE, SIDE): any place, scale, turn, three bands in any order, light."""
        image = self.images[draw.choice(len(self.images), p=self.shares)]
        side = min(round(SIDE * 2 ** draw.uniform(-1, 0.6)), *image.shape[1:])
        row, column = (draw.integers(0, length - side + 1) for length in image.shape[1:])
        bands = draw.choice(len(image), 3, replace=False)
        part = torch.from_numpy(image[bands, row : row + side, column : column + side].copy())
        part = F.interpolate(
            part[None], (SIDE, SIDE), mode="bilinear", antialias=side > SIDE, align_corners=False
        )[0]
        part = torch.rot90(part, int(draw.integers(4)), (1, 2))
        if draw.random() < 0.5:
            part = part.flip(2)
        gain, shift = draw.uniform(0.7, 1.3, (3, 1, 1)), draw.uniform(-0.15, 0.15, (3, 1, 1))
        lit = part * torch.from_numpy(gain) + torch.from_numpy(shift)
        return ((lit - MEAN) / STD).float()

    def batch(self, seed: int, step: int) -> Tensor:
        """Crops of one step, (BATCH, 3, SIDE, SIDE); each step has its own random numbers."""
        draw = np.random.default_rng([seed, step])
        return torch.stack([self.crop(draw) for _ in range(BATCH)])


@torch.no_grad()
def start_with_components(embedding: nn.Conv2d, images: Tensor) -> None:
    """Let the embedding begin as the patches' whitened principal components."""
    patches = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(dim=0)
    variances, directions = torch.linalg.eigh(torch.cov((patches - mean).T))
    count = embedding.out_channels
    variances, directions = variances[-count:].flip(0), directions[:, -count:].flip(1)
    weight = (directions / variances.clamp_min(1e-3 * variances[0]).sqrt()).T
    embedding.weight.copy_(weight.view_as(embedding.weight))
    assert embedding.bias is not None
    embedding.bias.copy_(-(weight @ mean))


class MaskedModelling(nn.Module):
    """A segmenter of three masks that gives back images of which it sees half."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter
        size = segmenter.encoder.size
        self.mask_token = nn.Parameter(torch.zeros(size.width))
        self.pixels = nn.Conv2d(size.neck, 3 * (PATCH // 2) ** 2, 1)
        self._masked: Tensor | None = None
        segmenter.encoder.patch_embed.register_forward_hook(self._hide)

    def _hide(self, _module: nn.Module, _inputs: object, tokens: Tensor) -> Tensor:
        assert self._masked is not None
        return torch.where(self._masked[..., None], self.mask_token, tokens)

    def forward(self, images: Tensor, draw: torch.Generator) -> Tensor:
        """Loss of a batch of normalised images."""
        cells = images.shape[-1] // PATCH // BLOCK
        hidden = torch.rand(len(images), cells, cells, generator=draw) < MASKED
        self._masked = hidden.repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)
        embeddings = self.segmenter.encoder(images)
        half = F.pixel_shuffle(self.pixels(embeddings), PATCH // 2)
        quarter = self.segmenter.decoder(embeddings, images)
        weight = torch.where(self._masked, 1.0, 0.3)[:, None]
        loss = torch.zeros(())
        for made, scale in ((half, 2), (quarter, 4)):
            error = (made - F.avg_pool2d(images, scale)).abs()
            loss = loss + (F.avg_pool2d(error, PATCH // scale) * weight).mean()
        return loss


def main() -> None:
    """Train, or go on with training, and write the base."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=6)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    segmenter = build_segmenter("vit_t", classes=3, decoder={"head": "direct"})
    scenes = Scenes(arguments.folder)
    images = torch.cat([scenes.batch(arguments.seed, step) for step in range(40)])
    start_with_components(segmenter.encoder.patch_embed.proj, images)
    model = MaskedModelling(segmenter).train()
    optimiser = torch.optim.AdamW(
        model.parameters(), arguments.lr, betas=(0.9, 0.95), weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, arguments.lr, total_steps=arguments.steps, pct_start=0.1, cycle_momentum=False
    )
    state_file = arguments.out.with_suffix(".state.pt")
    first = 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        first = state["step"]
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
    since, losses = time.monotonic(), []
    for step in range(first, arguments.steps):
        images = scenes.batch(arguments.seed, step)
        loss = model(images, torch.Generator().manual_seed(arguments.seed * 10**6 + step))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % KEEP_EVERY == 0:
            print(
                f"step {step + 1}  loss {np.mean(losses):.4f}  "
                f"{KEEP_EVERY * BATCH / (time.monotonic() - since):.1f} images/s",
                flush=True,
            )
            since, losses = time.monotonic(), []
            state = {
                "step": step + 1,
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
            }
            whole = state_file.with_suffix(".new")
            torch.save(state, whole)
            whole.replace(state_file)
    about = {
        "name": arguments.out.stem,
        "description": "Compact SAM encoder and decoder, masked image modelling on real scenes.",
        "licence": "Apache-2.0",
        "training": {
            "data": [f"{name}: {licence}" for name, *_, licence in SCENES],
            "seed": arguments.seed,
            "samples": arguments.steps * BATCH,
        },
    }
    print(f"wrote {save_base(arguments.out, segmenter.eval(), about=about, overwrite=True)}")
    state_file.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
