"""A network of another library, as prediction calls networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geoconvlora.errors import ConfigError


class ForeignNetwork(nn.Module):
    """Gives logits for every class, also of a network with one output for two classes.

    Args:
        network: Images (B, C, H, W) to logits (B, K, H, W), or (B, 1, H, W) whose sigmoid is the
            probability of class 1.
        outputs: Classes.

    Attributes:
        stride: Sides of images are multiples of it.
    """

    def __init__(self, network: nn.Module, *, outputs: int) -> None:
        super().__init__()
        self.network = network
        self.outputs = outputs
        encoder = getattr(network, "encoder", None)
        self.stride = int(getattr(encoder, "output_stride", 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, outputs, H, W) of normalised images (B, C, H, W).

        Raises:
            ConfigError: The images do not fit the network's stride.
        """
        height, width = images.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ConfigError(
                f"tiles of {height} x {width} pixels do not fit this network: give --tile-size a "
                f"multiple of {self.stride}"
            )
        logits: Tensor = self.network(images)
        if logits.shape[1] == 1 and self.outputs == 2:
            # The softmax over (0, x) is the sigmoid of x.
            return torch.cat([torch.zeros_like(logits), logits], dim=1)
        return logits
