from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from segment_anything.modeling.image_encoder import ImageEncoderViT
from torch import nn

from geoconvlora.errors import ConfigError, WeightsError
from geoconvlora.sam import SIZES, ImageEncoder, load_encoder
from geoconvlora.sam.sizes import PATCH, EncoderSize

SMALL = replace(SIZES["vit_t"], width=48, depth=4, global_blocks=(1, 3), window=5, image=192)


def metas(size: EncoderSize) -> ImageEncoderViT:
    return ImageEncoderViT(
        img_size=size.image,
        patch_size=PATCH,
        embed_dim=size.width,
        depth=size.depth,
        num_heads=size.heads,
        out_chans=size.neck,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=size.window,
        global_attn_indexes=size.global_blocks,
    ).eval()


def randomise(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    found, wanted = found.detach(), wanted.detach()
    return float((found - wanted).abs().max() / (wanted.max() - wanted.min()))


@pytest.mark.parametrize("tracked", [False, True])
def test_output_equals_metas(tracked: bool) -> None:
    ours, theirs = ImageEncoder(SMALL).eval(), metas(SMALL)
    randomise(ours)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    image = torch.randn(2, 3, 192, 192)
    with torch.set_grad_enabled(tracked):
        assert relative_error(ours(image), theirs(image)) < 1e-5


def test_gradients_equal_metas() -> None:
    ours, theirs = ImageEncoder(SMALL), metas(SMALL)
    randomise(ours)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    image = torch.randn(1, 3, 192, 192)
    weights = torch.randn_like(ours(image))
    (ours(image) * weights).sum().backward()
    (theirs(image) * weights).sum().backward()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert a.grad is not None, name
        assert b.grad is not None, name
        assert relative_error(a.grad, b.grad) < 1e-4, name


@pytest.mark.slow
def test_official_file_loads_and_equals_metas_at_1024(tmp_path: Path) -> None:
    theirs = metas(SIZES["vit_b"])
    randomise(theirs)
    file = tmp_path / "random_vit_b.pth"
    torch.save({f"image_encoder.{k}": v for k, v in theirs.state_dict().items()}, file)
    ours = load_encoder("vit_b", file)
    image = torch.randn(1, 3, 1024, 1024)
    with torch.inference_mode():
        wanted = theirs(image)
        assert wanted.shape == (1, 256, 64, 64)
        assert relative_error(ours(image), wanted) < 1e-4


def test_slices_of_the_bias_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ImageEncoder(SMALL).eval()
    randomise(ours)
    image = torch.randn(3, 3, 192, 192)
    with torch.inference_mode():
        whole = ours(image)
        for budget in (1, 30_000, 200_000):
            monkeypatch.setattr("geoconvlora.sam.attention.BIAS_BYTES", budget)
            torch.testing.assert_close(ours(image), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 176), (320, 208)])
def test_any_multiple_of_the_patch_works(height: int, width: int) -> None:
    out = ImageEncoder(SMALL)(torch.randn(1, 3, height, width))
    assert out.shape == (1, 64, height // 16, width // 16)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiples of 16"):
        ImageEncoder(SMALL)(torch.zeros(1, 3, 60, 64))


def test_grey_in_many_bands_equals_grey_in_three(tmp_path: Path) -> None:
    plain = load_encoder("vit_t")
    file = tmp_path / "w.pth"
    torch.save({f"image_encoder.{k}": v for k, v in plain.state_dict().items()}, file)
    wide = load_encoder("vit_t", file, bands=5)
    grey = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(
        wide.patch_embed(grey.expand(1, 5, 64, 64)),
        plain.patch_embed(grey.expand(1, 3, 64, 64)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_an_image_alone_and_in_a_batch_are_encoded_alike() -> None:
    ours = ImageEncoder(SMALL).eval()
    images = torch.randn(3, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images)[1:2], ours(images[1:2]), rtol=1e-4, atol=1e-5)


def test_recomputed_gradients_equal_plain_ones() -> None:
    encoder = ImageEncoder(SMALL)
    image = torch.randn(1, 3, 96, 96)
    gradients = []
    for recompute in (False, True):
        encoder.recompute = recompute
        encoder.zero_grad()
        encoder(image).square().sum().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients)


def test_parameter_counts_of_metas_sizes() -> None:
    with torch.device("meta"):
        counts = {
            name: sum(p.numel() for p in ImageEncoder(s).parameters()) for name, s in SIZES.items()
        }
    assert counts["vit_b"] == 89_670_912
    assert counts["vit_l"] == 308_278_272
    assert counts["vit_h"] == 637_026_048
    assert 5_000_000 < counts["vit_t"] < 8_000_000


def test_a_checkpoint_of_another_size_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.pth"
    tensors = load_encoder("vit_t").state_dict()
    torch.save({f"image_encoder.{k}": v for k, v in tensors.items() if "blocks.3" not in k}, file)
    with pytest.raises(WeightsError, match="not for this encoder size"):
        load_encoder("vit_t", file)


def test_unknown_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="vit_b"):
        load_encoder("vit_x")
