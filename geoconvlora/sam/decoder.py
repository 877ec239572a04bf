"""SAM's mask decoder without prompts, for any number of classes.

The prompt encoder is gone: of it remain two constants, the embedding that means "no mask prompt"
and the random Fourier positions, both as buffers. The mask-quality head is gone too.

Three heads turn mask tokens into class logits, such that ``softmax(logits)`` are probabilities:

``classification``
    The paper's: each query gives one mask and, through a light linear branch, a distribution over
    the classes and "no object"; a class's score is the sum over queries of its probability times
    the mask's sigmoid (Zhong et al. 2024, section 3; Mask2Former's semantic inference).
``direct``
    One query a class; its mask is the class's logit.
``binary``
    One query; two classes, the first of which is the background.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from geoconvlora.errors import ConfigError
from geoconvlora.sam.detail import FEATURES, DetailStem, DetailUpscaling
from geoconvlora.sam.official import (
    MLP,
    LayerNorm2d,
    PositionEmbeddingRandom,
    TwoWayTransformer,
)
from geoconvlora.sam.sizes import EncoderSize
from geoconvlora.sam.steady import steady

#: Size of a new decoder's logits, beside that of its layers.
_MASK_SCALE = 0.3

Head = Literal["classification", "direct", "binary"]


class DecoderSettings(BaseModel):
    """What can be chosen about a decoder.

    Attributes:
        head: How masks become classes.
        queries: Mask tokens of the ``classification`` head; None: twice the classes.
        shared: Whether all queries share one hypernetwork and start as copies of one token, as in
            the official code.
        stem: Whether a convolutional stem's features join the upscaling, to the image's own grid.
        shrink: How many times smaller than the stem the encoder sees the image, for images that
            were enlarged: what they show, their own pixels show as well, at a fraction of the cost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: Head = "classification"
    queries: int | None = Field(default=None, ge=1)
    shared: bool = False
    stem: bool = False
    shrink: Literal[1, 2, 4] = 1

    @model_validator(mode="after")
    def _consistent(self) -> DecoderSettings:
        if self.shrink > 1 and not self.stem:
            raise ValueError("shrink is for decoders with a stem (stem: true)")
        return self

    @classmethod
    def parse(cls, settings: dict[str, Any] | None) -> DecoderSettings:
        """Check settings that come from a file or a caller."""
        try:
            return cls(**(settings or {}))
        except ValidationError as error:
            fault = error.errors()[0]
            name = ".".join(map(str, fault["loc"]))
            raise ConfigError(
                f"decoder {f'setting {name!r}' if name else 'settings'}: "
                f"{fault['msg'].removeprefix('Value error, ')}; "
                f"known: {', '.join(cls.model_fields)}, heads: {', '.join(get_args(Head))}"
            ) from None


class PromptFreeDecoder(nn.Module):
    """Embeddings to class logits.

    Attributes:
        settings: Its head and options.
        classes: Number of classes, K.
    """

    def __init__(
        self,
        size: EncoderSize,
        classes: int,
        bands: int = 3,
        settings: DecoderSettings | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings or DecoderSettings()
        self.classes = classes
        dim, head = size.neck, self.settings.head
        if head == "binary" and classes != 2:
            raise ConfigError(f"the binary head is for 2 classes, not {classes}")
        queries = {"direct": classes, "binary": 1}.get(head) or self.settings.queries or 2 * classes
        self.transformer = TwoWayTransformer(
            depth=2, embedding_dim=dim, num_heads=size.decoder_heads, mlp_dim=size.decoder_mlp
        )
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(queries, dim)
        if self.settings.stem:
            features = FEATURES
            self.stem: DetailStem | None = DetailStem(bands)
            self.output_upscaling: nn.Module = DetailUpscaling(dim)
        else:
            features = dim // 8
            self.stem = None
            self.output_upscaling = nn.Sequential(
                nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
                LayerNorm2d(dim // 4),
                nn.GELU(),
                nn.ConvTranspose2d(dim // 4, features, kernel_size=2, stride=2),
                nn.GELU(),
            )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, features, 3) for _ in range(1 if self.settings.shared else queries)
        )
        self.class_branch = nn.Linear(dim, classes + 1) if head == "classification" else None
        steady(self)
        self.positions = PositionEmbeddingRandom(dim // 2)
        self.no_mask: Tensor
        self.register_buffer("no_mask", torch.zeros(dim))
        self._initialise()
        if self.settings.shared:
            with torch.no_grad():
                self.mask_tokens.weight.copy_(self.mask_tokens.weight[:1].expand(queries, -1))

    @torch.no_grad()
    def _initialise(self) -> None:
        """Start a decoder for which there are no weights so that it learns.

        A mask is a product of weights and features. With torch's defaults both are near zero, each
        one's gradient is scaled by the other, and nothing moves for hundreds of steps. Here both
        keep their variance through the layers (He et al. 2015), and masks start at about +-0.3.
        """
        for layer in self.output_upscaling.modules():
            if isinstance(layer, nn.ConvTranspose2d):
                # Kernels do not overlap: an output sees each input channel once.
                nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.in_channels))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for network in self.output_hypernetworks_mlps:
            layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
            for linear in layers:
                nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
                nn.init.zeros_(linear.bias)
            layers[-1].weight.mul_(_MASK_SCALE)

    def forward(self, embeddings: Tensor, images: Tensor) -> Tensor:
        """Decode.

        Args:
            embeddings: The encoder's output, (B, C, h, w).
            images: What it encoded, (B, bands, 16 h, 16 w) or ``shrink`` times that; only the stem
                looks at it.

        Returns:
            Logits, (B, K, H', W'): at the image's size with a stem, at a quarter of it without.
        """
        batch, channels, rows, columns = embeddings.shape
        tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = tokens.expand(batch, -1, -1)
        places = self.positions((rows, columns)).to(embeddings.dtype).expand(batch, -1, -1, -1)
        source = embeddings + self.no_mask[:, None, None]
        decoded, source = self.transformer(source, places, tokens)
        queries = decoded[:, 1:]
        source = source.transpose(1, 2).view(batch, channels, rows, columns)
        weights = self._weights(queries)
        if self.stem is None:
            features = self.output_upscaling(source)
            masks = (weights @ features.flatten(2)).unflatten(2, features.shape[-2:])
        else:
            masks = self.output_upscaling(source, self.stem(images), weights)
        return self._combine(queries, masks)

    def _weights(self, queries: Tensor) -> Tensor:
        """A mask's weights over the features, (B, Q, features)."""
        networks = self.output_hypernetworks_mlps
        if len(networks) == 1:
            return networks[0](queries)  # type: ignore[no-any-return]
        return torch.stack([net(queries[:, q]) for q, net in enumerate(networks)], dim=1)

    def _combine(self, queries: Tensor, masks: Tensor) -> Tensor:
        """Masks (B, Q, H, W) to class logits (B, K, H, W)."""
        if self.settings.head == "direct":
            return masks
        if self.class_branch is None:
            return torch.cat([torch.zeros_like(masks), masks], dim=1)
        shares = self.class_branch(queries).float().softmax(-1)[..., :-1]
        scores = torch.einsum("bqk,bqhw->bkhw", shares, masks.float().sigmoid())
        return scores.clamp_min(1e-6).log()
