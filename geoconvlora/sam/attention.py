"""SAM's attention with decomposed relative positions, through fused kernels and equal to Meta's.

Three things differ from Meta's code, none of them in value. ``qkv`` is pointwise, so it is applied
to the token map before windows are cut: no product is spent on padded tokens, and an adapted
``qkv`` sees true neighbours across window borders. Meta pads with zeros before ``qkv``, so the
``qkv`` of a padded token is the layer's bias, which is what the padding is filled with here. The
position bias is handed to ``scaled_dot_product_attention`` a few query rows at a time, so that no
matrix of tokens by tokens is ever held.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.sam.official import Attention, get_rel_pos

BIAS_BYTES = 8 * 2**20
"""Upper bound of the position bias held at once; of the order of a core's cache share."""


class RelativeAttention(Attention):
    """Multi-head attention over a map or over windows of it; parameters as in Meta's code.

    Attributes:
        prompts: Of an adaptation method: tokens (p, C) that every map or window sees beside its
            own, without position.
    """

    prompts: nn.Parameter | None

    def __init__(
        self, dim: int, num_heads: int, *, use_rel_pos: bool, input_size: tuple[int, int]
    ) -> None:
        super().__init__(dim, num_heads, use_rel_pos=use_rel_pos, input_size=input_size)
        self.prompts = None

    def forward(self, x: Tensor, window: int = 0) -> Tensor:
        """Attend.

        Args:
            x: Normalised tokens, (B, H, W, C).
            window: Side of the attention windows in tokens; 0 attends over the whole map.

        Returns:
            Tokens after the output projection, (B, H, W, C).
        """
        batch, height, width, channels = x.shape
        if window == 0:
            return self.proj(self._attend(self.qkv(x)))  # type: ignore[no-any-return]
        if getattr(self.qkv, "per_window", False):
            qkv = self.qkv(_partition(x, window, None))
        else:
            at_zero = getattr(self.qkv, "at_zero", self.qkv.bias)
            qkv = _partition(self.qkv(x), window, at_zero)
        tokens = _unpartition(self._attend(qkv), (batch, height, width, channels))
        return self.proj(tokens)  # type: ignore[no-any-return]

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attention within each map of (N, H, W, 3 C); returns (N, H, W, C)."""
        maps, height, width, channels = qkv.shape
        tokens, heads = height * width, self.num_heads
        dim = channels // (3 * heads)
        q, k, v = qkv.reshape(maps, tokens, 3, heads, dim).permute(2, 0, 3, 1, 4).unbind(0)
        if self.prompts is not None:
            k, v = self._with_prompts(k, v)
        out = (
            self._attend_relatively(q, k, v, (height, width))
            if self.use_rel_pos
            else F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        )
        return out.transpose(1, 2).reshape(maps, height, width, heads * dim)

    def _with_prompts(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append the prompts' keys and values to each map's, (N, heads, tokens + p, dim)."""
        assert self.prompts is not None
        maps, heads, _, dim = k.shape
        extra = self.qkv(self.prompts[None, None])[0, 0].view(-1, 3, heads, dim)
        more_k, more_v = (part.transpose(0, 1).to(k.dtype) for part in extra.unbind(1)[1:])
        return (
            torch.cat([k, more_k.expand(maps, -1, -1, -1)], dim=2),
            torch.cat([v, more_v.expand(maps, -1, -1, -1)], dim=2),
        )

    def _attend_relatively(self, q: Tensor, k: Tensor, v: Tensor, shape: tuple[int, int]) -> Tensor:
        """Attention with relative positions on a map of this shape; (N, heads, tokens, dim)."""
        maps, heads, _, dim = q.shape
        height, width = shape
        grid = q.reshape(maps, heads, height, width, dim)
        toward_row = get_rel_pos(height, height, self.rel_pos_h).to(q.dtype)
        toward_column = get_rel_pos(width, width, self.rel_pos_w).to(q.dtype)
        by_row = torch.einsum("nhrcd,rkd->nhrck", grid, toward_row)
        by_column = torch.einsum("nhrcd,ckd->nhrck", grid, toward_column)
        if torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v, by_row)):
            return self._attend_tracked(q, k, v, by_row, by_column)
        return self._attend_in_slices(q, k, v, by_row, by_column)

    def _attend_tracked(
        self, q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor
    ) -> Tensor:
        """All at once, for autograd."""
        maps, heads, height, width, _ = by_row.shape
        tokens = height * width
        bias = (by_row[..., :, None] + by_column[..., None, :]).reshape(maps, heads, tokens, tokens)
        if k.shape[2] > tokens:
            bias = F.pad(bias, (0, k.shape[2] - tokens))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.scale)

    def _attend_in_slices(
        self, q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor
    ) -> Tensor:
        """A few maps, or a few query rows of one map, at a time, into one reused bias buffer."""
        maps, heads, height, width, _ = by_row.shape
        tokens, keys = height * width, k.shape[2]
        row_bytes = heads * width * keys * q.element_size()
        rows = max(1, min(height, BIAS_BYTES // row_bytes))
        count = max(1, min(maps, BIAS_BYTES // (row_bytes * height))) if rows == height else 1
        # Keys beyond the map's own tokens are prompts, which have no position: their bias stays 0.
        bias = q.new_zeros((count, heads, rows, width, keys))
        by_key = bias[..., :tokens].view(*bias.shape[:-1], height, width)
        out = torch.empty_like(q)
        for first in range(0, maps, count):
            some = slice(first, min(first + count, maps))
            for top in range(0, height, rows):
                band = slice(top, min(top + rows, height))
                part = (slice(some.stop - some.start), slice(None), slice(band.stop - band.start))
                rows_part, columns_part = by_row[some, :, band], by_column[some, :, band]
                torch.add(rows_part[..., :, None], columns_part[..., None, :], out=by_key[part])
                queries = slice(band.start * width, band.stop * width)
                out[some, :, queries] = F.scaled_dot_product_attention(
                    q[some, :, queries],
                    k[some],
                    v[some],
                    attn_mask=bias[part].flatten(2, 3),
                    scale=self.scale,
                )
        return out


def _partition(x: Tensor, window: int, fill: Tensor | None) -> Tensor:
    """(B, H, W, C) to (B n, window, window, C), padding on the right and below with ``fill``."""
    batch, height, width, channels = x.shape
    rows, columns = -(-height // window), -(-width // window)
    if height % window or width % window:
        padded = (
            x.new_zeros((batch, rows * window, columns * window, channels))
            if fill is None
            else fill.to(x.dtype).expand(batch, rows * window, columns * window, channels).clone()
        )
        padded[:, :height, :width] = x
        x = padded
    x = x.view(batch, rows, window, columns, window, channels).transpose(2, 3)
    return x.reshape(-1, window, window, channels)


def _unpartition(windows: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
    """Undo :func:`_partition` and drop the padding."""
    batch, height, width, channels = shape
    window = windows.shape[1]
    rows, columns = -(-height // window), -(-width // window)
    x = windows.view(batch, rows, columns, window, window, channels).transpose(2, 3)
    x = x.reshape(batch, rows * window, columns * window, channels)
    return x[:, :height, :width]
