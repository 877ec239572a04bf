"""Time and peak memory of the adaptation methods, and Conv-LoRA's layer against LoRA's.

    python benchmarks/adapters.py --repeats 5
    python benchmarks/adapters.py --encoders vit_t:256 --methods lora conv-lora --repeats 20

Prints tables for each encoder (random weights, one image) and one for single layers. A training
step is a forward and a backward pass. Contenders take turns; ratios are medians over turns. Memory
is the peak of a process of its own that runs one pass, weights and libraries included (Linux only).
On a machine that has other things to do, measure with ``--clock cpu --threads 1``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from geoconvlora.adapters import attach, auxiliary_loss, available
from geoconvlora.adapters.conv_lora import ConvLoRA, ConvLoRALinear
from geoconvlora.adapters.lora import LowRankLinear
from geoconvlora.sam import ImageEncoder, load_encoder

FROZEN = "decoder-only"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Pass = Callable[[nn.Module, Tensor], None]
Times = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", nargs="*", default=["vit_b:1024", "vit_t:256"])
    methods = [name for name in available() if name != "full"]
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--layer-repeats", type=int, default=15)
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = CLOCKS[arguments.clock]
    print(f"{arguments.threads} threads, {arguments.clock} clock")
    if arguments.layer_repeats:
        compare_layers(arguments.layer_repeats, clock)
    contenders = list(dict.fromkeys([FROZEN, "lora", *arguments.methods]))
    for encoder in arguments.encoders:
        size, pixels = encoder.split(":")
        compare_methods(size, int(pixels), contenders, arguments.repeats, clock)
        if arguments.memory:
            compare_memory(size, int(pixels), contenders)


def compare_layers(repeats: int, clock: Callable[[], float]) -> None:
    print(f"\nqkv of width 768, median of {repeats}\n")
    print("| rank | maps | pass | LoRA, ms | frozen / LoRA | Conv-LoRA / LoRA |")
    print("|---|---|---|---|---|---|")
    frozen = nn.Linear(768, 3 * 768).requires_grad_(False)
    for rank in (3, 8):
        settings = ConvLoRA(rank=rank)
        layers = {
            "frozen": frozen,
            "LoRA": LowRankLinear(frozen, rank, settings.alpha),
            "Conv-LoRA": ConvLoRALinear(frozen, settings),
        }
        for shape in ((1, 64, 64), (25, 14, 14)):
            # Tokens deep in an encoder have a gradient.
            tokens = torch.randn(*shape, 768, requires_grad=True)
            for name, run in (("forward", forward), ("training step", training_step)):
                times = take_turns(layers, tokens, run, repeats, clock)
                ratios = " | ".join(
                    f"{ratio(times[layer], times['LoRA']):.3f}" for layer in ("frozen", "Conv-LoRA")
                )
                milliseconds = 1000 * statistics.median(times["LoRA"])
                maps = " x ".join(map(str, shape))
                print(f"| {rank} | {maps} | {name} | {milliseconds:.0f} | {ratios} |", flush=True)


def compare_methods(
    size: str, pixels: int, methods: list[str], repeats: int, clock: Callable[[], float]
) -> None:
    print(f"\n{size}, {pixels} px, median of {repeats}\n")
    print("| method | forward, s | / frozen | / LoRA | training step, s | / frozen | / LoRA |")
    print("|---|---|---|---|---|---|---|")
    weights = load_encoder(size).state_dict()
    encoders = {method: adapted(size, method, weights) for method in methods}
    image = torch.randn(1, 3, pixels, pixels)
    passes = (forward, training_step)
    times = [take_turns(encoders, image, run, repeats, clock) for run in passes]
    for method in methods:
        cells = [method]
        for by_method in times:
            own = by_method[method]
            cells.append(f"{statistics.median(own):.3f}")
            cells += [f"{ratio(own, by_method[base]):.3f}" for base in (FROZEN, "lora")]
        print(f"| {' | '.join(cells)} |", flush=True)


def compare_memory(size: str, pixels: int, methods: list[str]) -> None:
    print(f"\n{size}, {pixels} px, peak memory in MB\n")
    print("| method | forward | / LoRA | training step | / LoRA |\n|---|---|---|---|---|")
    peaks = {
        method: [peak_megabytes(size, method, pixels, run) for run in (forward, training_step)]
        for method in methods
    }
    for method, own in peaks.items():
        pairs = zip(own, peaks["lora"], strict=True)
        cells = [f"{peak:.0f} | {peak / lora:.2f}" for peak, lora in pairs]
        print(f"| {method} | {' | '.join(cells)} |")


def adapted(size: str, method: str, weights: dict[str, Tensor] | None = None) -> ImageEncoder:
    """An encoder that shares its frozen weights with others."""
    encoder = load_encoder(size)
    if weights is not None:
        encoder.load_state_dict(weights, assign=True)
    return attach(encoder, method)


def forward(network: nn.Module, inputs: Tensor) -> None:
    with torch.inference_mode():
        network(inputs)


def training_step(network: nn.Module, inputs: Tensor) -> None:
    network.zero_grad()
    inputs.grad = None
    out = network(inputs)
    if out.requires_grad:
        torch.autograd.backward([out.mean() + auxiliary_loss(network)])


def take_turns(
    contenders: dict[str, nn.Module] | dict[str, ImageEncoder],
    inputs: Tensor,
    run: Pass,
    repeats: int,
    clock: Callable[[], float],
) -> Times:
    """Seconds of each, after a turn that does not count."""
    times: Times = {name: [] for name in contenders}
    for network in contenders.values():
        network.train(run is training_step)
    for turn in range(repeats + 1):
        for name, network in contenders.items():
            started = clock()
            run(network, inputs)
            if turn:
                times[name].append(clock() - started)
    return times


def ratio(times: list[float], base: list[float]) -> float:
    return statistics.median(own / other for own, other in zip(times, base, strict=True))


def peak_megabytes(size: str, method: str, pixels: int, run: Pass) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_of_this_process, (size, method, pixels, run))


def _peak_of_this_process(size: str, method: str, pixels: int, run: Pass) -> float:
    encoder = adapted(size, method).train(run is training_step)
    run(encoder, torch.randn(1, 3, pixels, pixels))
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
    return peak / 1024


if __name__ == "__main__":
    main()
