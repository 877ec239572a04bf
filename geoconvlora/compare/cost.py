"""What a method costs: parameters, time and memory of a training step, time of inference."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from statistics import median

import torch
from torch import Tensor
from torch.optim import AdamW

from geoconvlora.adapters import auxiliary_loss
from geoconvlora.compare.memory import TensorMemory, tensor_bytes
from geoconvlora.inference.network import choose_device
from geoconvlora.sam import Segmenter
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.losses import SegmentationLoss
from geoconvlora.training.network import build_network
from geoconvlora.training.precision import choose_precision
from geoconvlora.training.samples import Pool, TorchSample
from geoconvlora.weights.card import Frozen

_WARM_UPS = 1
_TIMED = 3


class Cost(Frozen):
    """Of one configuration on one machine."""

    encoder_parameters: int
    """That train, in the encoder: what the method adds or sets free."""
    trainable_parameters: int
    """Decoder included."""
    step_s: float
    """Median time of a training step: one batch forward, backward, clipped, and the update."""
    step_memory_mib: float
    """Most memory that tensors take in a step: network, optimiser's state, batch, activations and
    gradients. Torch's own account on CUDA; elsewhere what operators return, without their scratch
    space. Never the process's."""
    inference_s_per_mpx: float
    """Median time of the network, forward only, for a million pixels of its input."""


def measure_cost(config: TrainConfig, samples: Pool) -> Cost:
    """Time some steps of a fresh network on the first samples.

    Loading, augmentation and validation are not in the figures. Training is at the run's precision,
    inference in float32, as when predicting.

    Args:
        config: The run.
        samples: Normalised training samples; one batch of them is used.

    Raises:
        ConfigError: The device is not there, or the configuration cannot work.

    Example:
        >>> measure_cost(config, open_sources(config).train).step_s  # doctest: +SKIP
        0.31
    """
    device = choose_device(config.device)
    # What earlier runs left must not be freed within the figures of this one.
    gc.collect()
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    network = build_network(
        config.model.size,
        config.model.base,
        config.model.method,
        settings=config.model.settings,
        decoder=config.model.decoder,
        bands=len(config.bands),
        classes=len(config.classes),
    ).to(device)
    network.encoder.recompute = config.optim.recompute
    batch = _first_batch(samples, config.optim.batch_size, device)
    steps = _Steps(config, network, batch)
    seconds = _timed(steps.step, device)
    memory = _cuda_peak(steps, device) - before if device.type == "cuda" else _peak(steps)
    network.eval()
    pixels = batch["image"][:, 0].numel()
    with torch.inference_mode():
        forward = _timed(lambda: network(batch["image"]), device)
    return Cost(
        encoder_parameters=_trainable(network.encoder.parameters()),
        trainable_parameters=_trainable(network.parameters()),
        step_s=seconds,
        step_memory_mib=memory / 2**20,
        inference_s_per_mpx=forward / pixels * 1e6,
    )


class _Steps:
    """Training steps without a trainer around them."""

    def __init__(self, config: TrainConfig, network: Segmenter, batch: TorchSample) -> None:
        self.network = network
        self.batch = batch
        self.trainable = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = AdamW(self.trainable, lr=config.optim.lr)
        self._criterion = SegmentationLoss(**config.loss.model_dump()).to(batch["image"].device)
        self._clip = config.optim.clip
        self._precision = choose_precision(config.precision, batch["image"].device.type)

    def step(self) -> None:
        """Forward, backward, update."""
        with self._autocast():
            logits = self.network(self.batch["image"])
            loss: Tensor = self._criterion(logits, self.batch["mask"])
            loss = loss + auxiliary_loss(self.network)
        loss.backward()
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self.trainable, self._clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def held(self) -> int:
        """Bytes that stay between steps."""
        state = [list(values.values()) for values in self.optimizer.state.values()]
        own = [*self.network.parameters(), *self.network.buffers()]
        return tensor_bytes([*own, *self.batch.values(), *state])

    def _autocast(self) -> AbstractContextManager[None]:
        kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
        return torch.autocast(
            self.batch["image"].device.type,
            dtype=kinds.get(self._precision),
            enabled=self._precision in kinds,
        )


def _first_batch(samples: Pool, size: int, device: torch.device) -> TorchSample:
    drawn = [samples.draw(key).to_torch() for key in range(min(size, len(samples)))]
    return {k: torch.stack([sample[k] for sample in drawn]).to(device) for k in drawn[0]}


def _timed(work: Callable[[], object], device: torch.device) -> float:
    """Median seconds of some calls, after a few that warm caches up."""
    seconds = []
    for _ in range(_WARM_UPS + _TIMED):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return median(seconds[_WARM_UPS:])


def _wait(device: torch.device) -> None:
    """Until what the device was asked for is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _cuda_peak(steps: _Steps, device: torch.device) -> int:
    torch.cuda.reset_peak_memory_stats(device)
    steps.step()
    _wait(device)
    peak: int = torch.cuda.max_memory_allocated(device)
    return peak


def _peak(steps: _Steps) -> int:
    held, memory = steps.held(), TensorMemory()
    with memory:
        steps.step()
    return held + memory.peak


def _trainable(parameters: Iterable[torch.nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters if p.requires_grad)
