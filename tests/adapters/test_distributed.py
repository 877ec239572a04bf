"""Every method under distributed data parallel training, in two processes on this computer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from geoconvlora.adapters import attach, auxiliary_loss, available
from geoconvlora.sam import Segmenter, build_segmenter

WORLD = 2
SIDE = 64
STEPS = 2


def adapted(method: str) -> Segmenter:
    """A compact segmenter; every weight that trains is random, so none has a zero gradient."""
    torch.manual_seed(4)
    network = build_segmenter("vit_t", classes=3, decoder={"head": "direct"})
    attach(network.encoder, method)
    with torch.no_grad():
        for _, parameter in network.trainable():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network.train()


def images_of(rank: int, step: int) -> torch.Tensor:
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(10 * step + rank))


def gradients(network: torch.nn.Module, rank: int, step: int) -> list[torch.Tensor]:
    """Of one step; the gate's noise is that of the rank and the step."""
    torch.manual_seed(100 * step + rank)
    network.zero_grad()
    (network(images_of(rank, step)).square().mean() + auxiliary_loss(network)).backward()
    return [p.grad.clone() for p in network.parameters() if p.requires_grad]


def train_one_rank(rank: int, folder: str) -> None:
    """Two steps of each method: DDP refuses the second if the first left a parameter unused."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(f"{folder}/store", WORLD), rank=rank, world_size=WORLD
    )
    for method in available():
        network = DistributedDataParallel(adapted(method))
        found = [gradients(network, rank, step) for step in range(STEPS)]
        torch.save(found, Path(folder, f"{method}-{rank}.pt"))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranks")
    mp.spawn(train_one_rank, args=(str(path),), nprocs=WORLD)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("method", available())
def test_two_processes_train_on_the_mean_of_their_gradients(folder: Path, method: str) -> None:
    ranks = [torch.load(folder / f"{method}-{rank}.pt", weights_only=True) for rank in range(WORLD)]
    network = adapted(method)
    for step in range(STEPS):
        alone = [gradients(network, rank, step) for rank in range(WORLD)]
        # Some gradients are nothing but rounding, so all are held against the largest.
        rounding = 1e-5 * max(float(g.abs().max()) for rank in alone for g in rank)
        for index, (one, other) in enumerate(zip(*(rank[step] for rank in ranks), strict=True)):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
            mean = torch.stack([gradient[index] for gradient in alone]).mean(0)
            torch.testing.assert_close(one, mean, rtol=1e-3, atol=rounding)
