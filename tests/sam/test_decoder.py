import pytest
import torch
from torch.nn import functional as F

from geoconvlora.errors import ConfigError
from geoconvlora.sam import SIZES, PromptFreeDecoder, build_segmenter
from geoconvlora.sam.decoder import DecoderSettings
from geoconvlora.sam.detail import DetailStem, DetailUpscaling


def decoder(classes: int, **settings: object) -> PromptFreeDecoder:
    return PromptFreeDecoder(SIZES["vit_t"], classes, 3, DecoderSettings(**settings)).eval()


def test_binary_decoder_has_the_papers_parameter_count() -> None:
    with torch.device("meta"):
        paper = PromptFreeDecoder(SIZES["vit_b"], 2, settings=DecoderSettings(head="binary"))
    assert sum(p.numel() for p in paper.parameters()) == 3_505_536


def test_binary_probability_is_the_masks_sigmoid() -> None:
    net = decoder(2, head="binary")
    logits = net(torch.randn(1, 64, 4, 6), torch.zeros(1, 3, 64, 96))
    assert logits.shape == (1, 2, 16, 24)
    torch.testing.assert_close(logits.softmax(1)[:, 1], logits[:, 1].sigmoid())


def test_classification_head_sums_over_queries() -> None:
    net = decoder(3, queries=4)
    queries, masks = torch.randn(2, 4, 64), torch.randn(2, 4, 5, 7)
    found = net._combine(queries, masks).exp()
    assert net.class_branch is not None
    wanted = torch.zeros(2, 3, 5, 7)
    for image in range(2):
        for q in range(4):
            shares = net.class_branch(queries[image, q]).softmax(0)
            for k in range(3):
                wanted[image, k] += shares[k] * masks[image, q].sigmoid()
    torch.testing.assert_close(found, wanted)


def test_shared_queries_start_as_copies() -> None:
    net = decoder(3, queries=5, shared=True)
    assert len(net.output_hypernetworks_mlps) == 1
    assert torch.equal(net.mask_tokens.weight, net.mask_tokens.weight[:1].expand(5, -1))


@pytest.mark.parametrize("stem", [False, True])
@pytest.mark.parametrize("head", ["classification", "direct"])
def test_segmenter_gives_logits_at_the_images_size(stem: bool, head: str) -> None:
    net = build_segmenter("vit_t", classes=4, bands=5, decoder={"head": head, "stem": stem})
    assert net(torch.randn(2, 5, 64, 96)).shape == (2, 4, 64, 96)


@pytest.mark.parametrize("stem", [False, True])
def test_new_decoder_is_far_from_its_saddle(stem: bool) -> None:
    torch.manual_seed(0)
    net = build_segmenter("vit_t", classes=3, decoder={"head": "direct", "stem": stem}).train()
    logits = net(torch.randn(2, 3, 64, 64))
    spread = float(logits.detach().std(dim=(2, 3)).mean())
    assert 0.05 < spread < 2
    torch.nn.functional.cross_entropy(logits, torch.randint(3, (2, 64, 64))).backward()
    norms = [p.grad.norm() for p in net.encoder.parameters() if p.grad is not None]
    # With torch's defaults and without a stem: 0.03.
    assert float(torch.stack(norms).norm()) > 0.3


def test_norms_are_part_of_the_convolutions_at_prediction() -> None:
    stem = DetailStem(3).train()
    images = torch.randn(4, 3, 32, 48)
    for _ in range(3):
        stem(images)
    for norm in (m for m in stem.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
        torch.nn.init.uniform_(norm.bias, -1, 1)
    stem.eval()
    plain = [level.detach() for level in stem(images)]
    with torch.inference_mode():
        folded = stem(images)
    for one, other in zip(plain, folded, strict=True):
        torch.testing.assert_close(one, other)


def test_encoder_sees_a_smaller_image_than_the_stem() -> None:
    net = build_segmenter("vit_t", classes=3, decoder={"stem": True, "shrink": 2})
    assert net(torch.randn(2, 3, 64, 96)).shape == (2, 3, 64, 96)
    seen = []
    net.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.arange(64.0).repeat(1, 3, 64, 1)
    net(image)
    torch.testing.assert_close(seen[0][0, 0, 0], torch.arange(32) * 2 + 0.5)


def test_encoder_sees_a_smaller_image_only_beside_a_stem() -> None:
    with pytest.raises(ConfigError, match="decoders with a stem"):
        build_segmenter("vit_t", classes=3, decoder={"shrink": 2})


def test_masks_are_the_unfolded_features_weighed() -> None:
    torch.manual_seed(0)
    upscaling = DetailUpscaling(64).eval()
    seen: list[torch.Tensor] = []
    upscaling.refinements[-1].register_forward_hook(lambda _, __, found: seen.append(found))
    details = DetailStem(3).eval()(torch.randn(2, 3, 32, 48))
    weights = torch.randn(2, 3, 16)
    masks = upscaling(torch.randn(2, 64, 2, 3), details, weights)
    features = upscaling.unfold(seen[0]).unflatten(1, (16, 4))
    wanted = torch.einsum("bqc,bcshw->bqshw", weights, features).flatten(1, 2)
    torch.testing.assert_close(masks, F.pixel_shuffle(wanted, 2), rtol=1e-4, atol=1e-4)
    assert masks.shape == (2, 3, 32, 48)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="queries"):
        build_segmenter("vit_t", classes=2, decoder={"colour": 3})
