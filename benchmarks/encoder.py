"""Time and parity of the image encoder against Meta's, with the same random weights.

    python benchmarks/encoder.py --size vit_b --pixels 1024 --repeats 3

Prints a table: seconds of each, in turn and in one process, and the largest difference of the
outputs relative to their range.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling.image_encoder import ImageEncoderViT
from torch import nn

from geoconvlora.adapters import attach
from geoconvlora.sam import SIZES, ImageEncoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=["vit_b", "vit_l", "vit_h"], default="vit_b")
    parser.add_argument("--pixels", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    theirs: ImageEncoderViT = sam_model_registry[arguments.size]().image_encoder.eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    image = torch.randn(1, 3, arguments.pixels, arguments.pixels)
    contenders: dict[str, nn.Module] = {"Meta": theirs, "ours": plain(theirs, arguments.size)}
    for method in ("lora", "conv-lora"):
        contenders[f"ours, {method}"] = attach(plain(theirs, arguments.size), method).eval()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    outputs = {}
    with torch.inference_mode():
        for repeat in range(arguments.repeats + 1):
            for name, encoder in contenders.items():
                started = time.perf_counter()
                outputs[name] = encoder(image)
                if repeat:
                    seconds[name].append(time.perf_counter() - started)
    wanted = outputs["Meta"]
    span = float(wanted.max() - wanted.min())
    meta = statistics.median(seconds["Meta"])
    print(
        f"{arguments.size}, {arguments.pixels} px, {arguments.threads} threads, median of "
        f"{arguments.repeats}"
    )
    print("| encoder | seconds | times faster than Meta's | largest error / range |")
    print("|---|---|---|---|")
    for name, values in seconds.items():
        median = statistics.median(values)
        error = float((outputs[name] - wanted).abs().max()) / span
        print(f"| {name} | {median:.2f} | {meta / median:.2f} | {error:.1e} |")


def plain(theirs: ImageEncoderViT, size: str) -> ImageEncoder:
    encoder = ImageEncoder(SIZES[size])
    encoder.load_state_dict(theirs.state_dict(), strict=True)
    return encoder.eval()


if __name__ == "__main__":
    main()
