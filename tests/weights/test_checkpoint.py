import pickle
from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry

from geoconvlora.errors import WeightsError
from geoconvlora.sam import build_segmenter, load_encoder
from geoconvlora.weights import read_checkpoint


@pytest.mark.slow
def test_official_decoder_is_taken_over(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sam = sam_model_registry["vit_b"]()
    file = tmp_path / "sam.pth"
    torch.save(sam.state_dict(), file)
    network = build_segmenter("vit_b", classes=2, checkpoint=file, decoder={"head": "binary"})
    embedding = torch.randn(1, 256, 64, 64)
    with torch.inference_mode():
        dense = sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(1, -1, 64, 64)
        tokens = torch.cat([sam.mask_decoder.iou_token.weight, sam.mask_decoder.mask_tokens.weight])
        tokens = tokens[:2][None]
        decoder = sam.mask_decoder
        hs, source = decoder.transformer(
            embedding + dense, sam.prompt_encoder.get_dense_pe(), tokens
        )
        features = decoder.output_upscaling(source.transpose(1, 2).view(1, 256, 64, 64))
        weights = decoder.output_hypernetworks_mlps[0](hs[:, 1])
        wanted = torch.einsum("bc,bchw->bhw", weights, features)
        found = network.decoder(embedding, torch.zeros(1, 3, 1024, 1024))[:, 1]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_an_official_name_with_another_content_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save({"image_encoder.x": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match="does not begin with 01ec64"):
        read_checkpoint(file)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple:
            return Path.touch, (marker,)

    file = tmp_path / "evil.pth"
    with file.open("wb") as out:
        pickle.dump({"image_encoder.x": Evil()}, out)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_checkpoint(file)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"backbone.x": torch.zeros(1)}, "backbone"),
        ([torch.zeros(1)], "something else"),
        ({"decoder.x": torch.zeros(1)}, "image_encoder"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, tensors: object, message: str) -> None:
    file = tmp_path / "w.pth"
    torch.save(tensors, file)
    with pytest.raises(WeightsError, match=message):
        load_encoder("vit_t", file)


def test_missing_file_names_the_weights_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOCONVLORA_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=str(tmp_path)):
        read_checkpoint("sam_vit_b_01ec64.pth")


def test_weights_are_found_by_name_in_the_weights_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOCONVLORA_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    tensors = load_encoder("vit_t").state_dict()
    file = tmp_path / "weights" / "mine.pth"
    torch.save({f"image_encoder.{k}": v for k, v in tensors.items()}, file)
    loaded = load_encoder("vit_t", "mine.pth").state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in tensors.items())
