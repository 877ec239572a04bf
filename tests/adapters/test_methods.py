"""Each method against its formula, written out plainly and independently."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from segment_anything.modeling.image_encoder import window_partition, window_unpartition
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters import attach, method_of
from geoconvlora.adapters.sam_adapter import high_frequencies
from geoconvlora.sam import SIZES, ImageEncoder, load_encoder

SMALL_IMAGE = (1, 3, 80, 112)


def disturbed(method: str, **settings: object) -> ImageEncoder:
    """A compact encoder whose every parameter is random, so that nothing hides behind a zero."""
    torch.manual_seed(1)
    encoder = attach(load_encoder("vit_t"), method, **settings)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.03)
    return encoder


def plain_forward(
    encoder: ImageEncoder,
    image: Tensor,
    *,
    norm: Callable[[nn.Module, Tensor], Tensor] = lambda layer, x: layer(x),
    block_input: Callable[[int, Tensor], Tensor] = lambda i, x: x,
    after_block: Callable[[int, Tensor], None] = lambda i, x: None,
    last: Callable[[Tensor], Tensor] = lambda x: x,
) -> Tensor:
    """The encoder as Meta writes it, with room for what a formula adds."""
    x = encoder.patch_embed(image)
    x = x + encoder.positions(*x.shape[1:3])
    for index, block in enumerate(encoder.blocks):
        x = block_input(index, x)
        rows, columns = x.shape[1:3]
        y = norm(block.norm1, x)
        window = block.window_size or None
        if window:
            y, padded = window_partition(y, window)
        y = attention(block.attn, y)
        if window:
            y = window_unpartition(y, window, padded, (rows, columns))
        x = x + y
        z = block.mlp(norm(block.norm2, x))
        x = x + z + (block.beside_mlp(x) if block.beside_mlp else 0)
        after_block(index, x)
    return encoder.neck(last(x).permute(0, 3, 1, 2))


def attention(layer: nn.Module, x: Tensor) -> Tensor:
    """Attention token by token, with prompts as extra rows that no one asks about."""
    maps, rows, columns, width = x.shape
    heads = layer.num_heads
    tokens = x.reshape(maps, rows * columns, width)
    extra = 0
    if layer.prompts is not None:
        extra = len(layer.prompts)
        tokens = torch.cat([tokens, layer.prompts.expand(maps, -1, -1)], dim=1)
    count = tokens.shape[1]
    qkv = layer.qkv(tokens[:, None])[:, 0].reshape(maps, count, 3, heads, width // heads)
    q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
    scores = (q * layer.scale) @ k.transpose(-2, -1)
    for i in range(rows * columns):
        for j in range(rows * columns):
            (a, b), (c, d) = divmod(i, columns), divmod(j, columns)
            far_row = relative(layer.rel_pos_h, rows)[a - c + rows - 1]
            far_column = relative(layer.rel_pos_w, columns)[b - d + columns - 1]
            scores[:, :, i, j] += q[:, :, i] @ far_row + q[:, :, i] @ far_column
    out = (scores.softmax(-1) @ v).transpose(1, 2).reshape(maps, count, width)
    out = out[:, : count - extra].reshape(maps, rows, columns, width)
    return layer.proj(out)


def relative(table: Tensor, side: int) -> Tensor:
    """The table for distances from -(side - 1) to side - 1."""
    wanted = 2 * side - 1
    if len(table) == wanted:
        return table
    return F.interpolate(table.T[None], size=wanted, mode="linear")[0].T


def check(encoder: ImageEncoder, plain: Callable[[Tensor], Tensor]) -> None:
    image = torch.randn(SMALL_IMAGE)
    with torch.no_grad():
        found, wanted = encoder(image), plain(image)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    tracked = encoder(image)
    torch.testing.assert_close(tracked, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("bitfit", {}),
        ("lora", {}),
        ("vpt", {"prompts": 3}),
        ("adapter", {"place": "parallel", "bottleneck": 5}),
    ],
)
def test_encoder_equals_metas_way_of_computing_it(method: str, settings: dict) -> None:
    encoder = disturbed(method, **settings)
    check(encoder, lambda image: plain_forward(encoder, image))


def test_parallel_adapter_is_adaptformers() -> None:
    branch = disturbed("adapter", place="parallel", bottleneck=64).blocks[0].beside_mlp
    x = torch.randn(2, 3, 4, 192)
    hidden = torch.clamp(x @ branch.adapter_down.weight.T + branch.adapter_down.bias, min=0)
    wanted = 0.1 * (hidden @ branch.adapter_up.weight.T + branch.adapter_up.bias)
    torch.testing.assert_close(branch(x), wanted)


@pytest.mark.parametrize("where", ["mlp.lin2", "attn.proj"])
def test_serial_adapter_is_houlsbys(where: str) -> None:
    encoder = disturbed("adapter", place="attention-and-mlp", bottleneck=4)
    layer = encoder.get_submodule(f"blocks.3.{where}")
    x = torch.randn(2, 5, layer.in_features)
    y = x @ layer.weight.T + layer.bias
    hidden = F.gelu(y @ layer.adapter_down.weight.T + layer.adapter_down.bias)
    wanted = y + hidden @ layer.adapter_up.weight.T + layer.adapter_up.bias
    torch.testing.assert_close(layer(x), wanted, rtol=1e-5, atol=1e-5)


def test_serial_adapter_adds_to_attention_only_where_asked() -> None:
    encoder = attach(load_encoder("vit_t"), "adapter")
    assert type(encoder.blocks[0].attn.proj) is nn.Linear


@pytest.mark.parametrize("name", ["patch_embed.proj", "blocks.0.norm1", "blocks.0.attn.qkv"])
def test_ssf_scales_and_shifts_by_channel(name: str) -> None:
    encoder = disturbed("ssf")
    layer = encoder.get_submodule(name)
    if name == "patch_embed.proj":
        x = torch.randn(2, 3, 32, 32)
        y = F.conv2d(x, layer.weight, layer.bias, stride=16).movedim(1, -1)
        found = layer(x).movedim(1, -1)
    else:
        x = torch.randn(2, 4, 192)
        y = (
            F.layer_norm(x, (192,), layer.weight, layer.bias, 1e-6)
            if name.endswith("norm1")
            else F.linear(x, layer.weight, layer.bias)
        )
        found = layer(x)
    torch.testing.assert_close(found, y * layer.ssf_scale + layer.ssf_shift)


def test_ssf_starts_with_noise_where_asked() -> None:
    torch.manual_seed(0)
    layer = attach(load_encoder("vit_t"), "ssf", init_std=0.02).blocks[0].mlp.lin1
    assert (layer.ssf_scale - 1).std().item() == pytest.approx(0.02, rel=0.1)
    assert layer.ssf_shift.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("method", "settings"),
    [("lora", {"rank": 4}), ("ssf", {}), ("ssf", {"neck": True}), ("bitfit", {})],
)
def test_merged_encoder_equals_the_adapted_one(method: str, settings: dict) -> None:
    encoder = disturbed(method, **settings)
    image = torch.randn(1, 3, 64, 80)
    with torch.inference_mode():
        adapted = encoder(image)
        method_of(encoder).merge(encoder)
        merged = encoder(image)
    assert set(encoder.state_dict()) == set(load_encoder("vit_t").state_dict())
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-4)


def test_high_pass_equals_numpys() -> None:
    image = torch.randn(2, 3, 32, 48)
    values = image.numpy()
    spectrum = np.fft.fftshift(np.fft.fft2(values), axes=(-2, -1))
    half = int((32 * 48 * 0.25) ** 0.5 // 2)
    spectrum[..., 16 - half : 16 + half, 24 - half : 24 + half] = 0
    wanted = np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(-2, -1))).real)
    np.testing.assert_allclose(high_frequencies(image), wanted, atol=1e-5)


@pytest.mark.slow
def test_sam_adapter_is_its_formula() -> None:
    encoder = disturbed("sam-adapter")
    own = encoder.prompter

    def plain(image: Tensor) -> Tensor:
        patches = F.conv2d(
            high_frequencies(image), own.high_pass.weight, own.high_pass.bias, stride=16
        )
        features = patches.movedim(1, -1) + own.embedded(encoder.patch_embed(image))
        return plain_forward(
            encoder,
            image,
            block_input=lambda i, x: x + own.shared(F.gelu(own.tuners[i](features))),
        )

    check(encoder, plain)


@pytest.mark.slow
def test_lst_is_its_formula() -> None:
    encoder = disturbed("lst")
    own = encoder.side

    def plain(image: Tensor) -> Tensor:
        embedded = encoder.patch_embed(image)
        states = [own.down[0](embedded + encoder.positions(*embedded.shape[1:3]))]

        def after_block(index: int, tokens: Tensor) -> None:
            gate = 1 / (1 + torch.exp(-own.gates[index] / 0.1))
            mixed = gate * states[-1] + (1 - gate) * own.down[index + 1](tokens)
            states.append(own.blocks[index](mixed))

        return plain_forward(
            encoder, image, after_block=after_block, last=lambda x: x + own.up(states[-1])
        )

    check(encoder, plain)


def test_no_gradient_of_lst_enters_the_encoder() -> None:
    encoder = disturbed("lst").requires_grad_(True)
    image = torch.randn(SMALL_IMAGE)
    encoder.neck.requires_grad_(False)
    state = encoder.side.start(encoder.patch_embed(image))
    encoder.side.step(0, state, encoder.patch_embed(image)).sum().backward()
    assert all(p.grad is None for p in encoder.patch_embed.parameters())
    assert encoder.side.down[0].weight.grad is not None


def lst_parameters(depth: int, width: int, reduction: int) -> int:
    h = width // reduction
    return depth * (12 * h**2 + 13 * h) + (depth + 1) * width * h + h * width + depth


def sam_adapter_parameters(depth: int, width: int, ratio: int) -> int:
    c = width // ratio
    return 2 * width * c + width + c + depth * (c**2 + c) + 768 * c + c


FORMULAS: dict[str, Callable[[int, int], int]] = {
    "decoder-only": lambda depth, width: 0,
    "bitfit": lambda depth, width: depth * 11 * width + width + 512,
    "adapter": lambda depth, width: depth * (2 * width * 8 + 8 + width),
    "sam-adapter": lambda depth, width: sam_adapter_parameters(depth, width, 32),
    "vpt": lambda depth, width: depth * 10 * width,
    "lst": lambda depth, width: lst_parameters(depth, width, 16),
    "ssf": lambda depth, width: depth * 22 * width + 2 * width,
    "lora": lambda depth, width: depth * 4 * width * 3,
    "conv-lora": lambda depth, width: depth * (4 * width * 3 + 8 * (9 * 9 + 3) + 2 * 3 * 8),
}
# Millions, as published counts round them.
PUBLISHED = {
    ("bitfit", "vit_b"): 0.103,
    ("bitfit", "vit_l"): 0.272,
    ("adapter", "vit_b"): 0.157,
    ("adapter", "vit_l"): 0.418,
    ("sam-adapter", "vit_b"): 0.063,
    ("sam-adapter", "vit_l"): 0.117,
    ("vpt", "vit_b"): 0.092,
    ("vpt", "vit_l"): 0.246,
    ("lst", "vit_b"): 0.855,
    ("lst", "vit_l"): 2.904,
    ("ssf", "vit_b"): 0.204,
    ("ssf", "vit_l"): 0.543,
    ("lora", "vit_b"): 0.111,
    ("lora", "vit_l"): 0.295,
    ("conv-lora", "vit_b"): 0.119,
    ("conv-lora", "vit_l"): 0.312,
}


@pytest.mark.parametrize("size", ["vit_b", "vit_l", "vit_h"])
@pytest.mark.parametrize("method", FORMULAS)
def test_trainable_parameters_follow_the_formula(method: str, size: str) -> None:
    with torch.device("meta"):
        encoder = attach(ImageEncoder(SIZES[size]), method)
    count = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    assert count == FORMULAS[method](SIZES[size].depth, SIZES[size].width)
    if (method, size) in PUBLISHED:
        assert round(count / 1e6, 3) == PUBLISHED[method, size]


@pytest.mark.parametrize("method", FORMULAS)
def test_recomputing_blocks_changes_no_gradient(method: str) -> None:
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(2)
        encoder = disturbed(method).train()
        encoder.recompute = recompute
        image = torch.randn(SMALL_IMAGE, requires_grad=method == "decoder-only")
        torch.manual_seed(3)
        encoder(image).square().sum().backward()
        own = [p.grad for p in encoder.parameters() if p.requires_grad]
        gradients.append([image.grad] if image.requires_grad else own)
    assert all(g is not None for g in gradients[0])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(one.abs().max()))


@pytest.mark.parametrize("method", FORMULAS)
def test_a_step_in_bfloat16_is_finite(method: str) -> None:
    encoder = attach(load_encoder("vit_t"), method).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = encoder(torch.randn(SMALL_IMAGE))
    assert torch.isfinite(out).all()
    training = [p for p in encoder.parameters() if p.requires_grad]
    if training:
        out.float().square().sum().backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in training)
