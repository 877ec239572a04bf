from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from training_files import described, write_raster

from geoconvlora.errors import BandError, ConfigError, LabelError, SceneError
from geoconvlora.training.config_file import load_config
from geoconvlora.training.sources import Sources, open_sources
from geoconvlora.training.tile_pair import read_label

Build = Callable[..., dict[str, Any]]
LEFT_OF_3 = 501_920


def sources(build: Build, **changes: Any) -> Sources:
    return open_sources(load_config(None, build("model", **changes)))


def test_parts_share_no_tile_and_every_tile_comes_once_a_round(tiles_config: Build) -> None:
    train, val, *_ = sources(tiles_config)
    assert (len(train), len(val)) == (6, 2)
    rounds = [
        [train.draw(key).image.tobytes() for key in range(start, start + 6)] for start in (0, 6)
    ]
    assert len(set(rounds[0])) == 6
    assert Counter(rounds[0]) == Counter(rounds[1])
    assert rounds[0] != rounds[1]
    assert not {val.draw(key).image.tobytes() for key in range(2)} & set(rounds[0])


def test_tile_whose_crs_cannot_be_right_is_refused(tiles: Path, tiles_config: Build) -> None:
    for folder in ("images", "labels"):
        path = tiles / folder / "3.tif"
        with rasterio.open(path) as raster:
            values = raster.read()
        write_raster(path, values, left=LEFT_OF_3, crs="EPSG:4326")
    with pytest.raises(LabelError, match=r"tile whose CRS is WGS 84 begins at 501920, 5\.6e\+06"):
        sources(tiles_config)


def test_bands_that_a_tile_describes_as_others_are_refused(
    tiles: Path, tiles_config: Build
) -> None:
    described(tiles / "images" / "3.tif", "green", "blue", "nir")
    with pytest.raises(BandError, match=r"3\.tif has other bands than red, green, .* data\.bands$"):
        sources(tiles_config)


def test_larger_tiles_are_cropped_where_image_and_label_agree(tiles_config: Build) -> None:
    train, val, *_ = sources(tiles_config, tile_size=32)
    assert len(val) == 8
    for key in range(12):
        sample = train.draw(key)
        assert sample.image.shape == (3, 32, 32)
        if len(np.unique(sample.mask)) == 2:
            bright = sample.image[0]
            assert bright[sample.mask == 1].min() > bright[sample.mask == 0].max()


def test_smaller_tiles_are_padded_with_invalid_pixels(tiles_config: Build) -> None:
    sample = sources(tiles_config, tile_size=96).train.draw(0)
    assert sample.valid.sum() == 64 * 64
    torch_sample = sample.to_torch()
    assert (torch_sample["mask"][~torch_sample["valid"]] == 255).all()
    assert (torch_sample["image"][:, ~torch_sample["valid"]] == 0).all()


def test_sizes_that_differ_are_refused_with_both_names(tiles: Path, tiles_config: Build) -> None:
    write_raster(tiles / "labels" / "3.tif", np.zeros((1, 60, 64), np.uint8))
    with pytest.raises(LabelError, match=r"images/3\.tif is 64 x 64 .*labels/3\.tif is 60 x 64"):
        sources(tiles_config)


def test_class_id_that_the_configuration_does_not_name_is_refused(
    tiles: Path, tiles_config: Build
) -> None:
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, 0, :3] = [7, 9, 255]
    write_raster(tiles / "labels" / "3.tif", mask, left=LEFT_OF_3)
    with pytest.raises(LabelError, match=r"labels/3\.tif holds the values 7, 9, .* ids are 0, 1 "):
        sources(tiles_config)


@pytest.mark.parametrize(
    "moved", [{"left": LEFT_OF_3 + 6}, {"left": LEFT_OF_3 + 200_000}, {"crs": "EPSG:32632"}]
)
def test_label_of_other_ground_is_refused_with_both_names(
    tiles: Path, tiles_config: Build, moved: dict[str, Any]
) -> None:
    place = {"left": LEFT_OF_3, **moved}
    write_raster(tiles / "labels" / "3.tif", np.zeros((1, 64, 64), np.uint8), **place)
    with pytest.raises(LabelError, match=r"images/3\.tif begins at .*labels/3\.tif at .*one grid"):
        sources(tiles_config)


@pytest.mark.parametrize("place", [{"left": LEFT_OF_3 + 4}, {"left": 0, "crs": None}])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_label_within_half_a_pixel_or_without_a_place_is_accepted(
    tiles: Path, tiles_config: Build, place: dict[str, Any]
) -> None:
    write_raster(tiles / "labels" / "3.tif", np.zeros((1, 64, 64), np.uint8), **place)
    assert len(sources(tiles_config).train) == 6


def test_two_images_of_one_stem_are_refused_unless_a_pattern_picks_one(
    tiles: Path, tiles_config: Build
) -> None:
    (tiles / "images" / "3.tiff").write_bytes((tiles / "images" / "3.tif").read_bytes())
    with pytest.raises(SceneError, match=r"images/3\.tif and .*images/3\.tiff would be one tile"):
        sources(tiles_config)
    assert len(sources(tiles_config, data=with_data(tiles, pattern="*.tif")).train) == 6


def test_two_labels_of_one_stem_are_refused(tiles: Path, tiles_config: Build) -> None:
    (tiles / "labels" / "3.tiff").write_bytes((tiles / "labels" / "3.tif").read_bytes())
    with pytest.raises(LabelError, match=r"labels/3\.tif and .*labels/3\.tiff are both the label"):
        sources(tiles_config)


def test_tile_of_two_parts_is_refused(tiles: Path, tiles_config: Build) -> None:
    folders = {"val_images": tiles / "images", "val_labels": tiles / "labels"}
    with pytest.raises(ConfigError, match=r"images/0\.tif is of the parts 'train' and 'val'"):
        sources(tiles_config, data=with_data(tiles, **folders))
    named = with_data(tiles, **folders, train_tiles=["1", "2"], val_tiles=["3"])
    assert len(sources(tiles_config, data=named).train) == 2


def test_image_without_label_is_refused(tiles: Path, tiles_config: Build) -> None:
    (tiles / "labels" / "5.tif").unlink()
    with pytest.raises(LabelError, match=r"1 of 8 .*5\.tif"):
        sources(tiles_config)


def test_suffix_pairs_labels_in_the_same_folder(tiles: Path, tiles_config: Build) -> None:
    for label in (tiles / "labels").iterdir():
        label.rename(tiles / "images" / f"{label.stem}_mask.tif")
    folder = tiles / "images"
    data = {"kind": "tiles", "images": folder, "labels": folder, "label_suffix": "_mask"}
    assert len(sources(tiles_config, data=data).train) == 6


def test_labels_nodata_is_ignored(tiles: Path, tiles_config: Build) -> None:
    for index in range(8):
        mask = np.full((1, 64, 64), 200, np.uint8)
        mask[0, :5], mask[0, 5:10] = 1, 0
        left = 500_000 + 640 * index
        write_raster(tiles / "labels" / f"{index}.tif", mask, left=left, nodata=200)
    assert (sources(tiles_config).train.draw(0).mask == 255).sum() == 54 * 64


def test_missing_folder_is_refused(tiles: Path, tiles_config: Build) -> None:
    data = {"kind": "tiles", "images": tiles / "none", "labels": tiles / "labels"}
    with pytest.raises(SceneError, match="none"):
        sources(tiles_config, data=data)


def with_data(tiles: Path, **changes: Any) -> dict[str, Any]:
    return {"kind": "tiles", "images": tiles / "images", "labels": tiles / "labels", **changes}


def test_named_tiles_are_what_is_trained_and_validated_on(tiles: Path, tiles_config: Build) -> None:
    data = with_data(tiles, train_tiles=["3", "5"], val_tiles=["0"], samples_per_epoch=6)
    train, val, *_ = sources(tiles_config, data=data)
    everything = sources(tiles_config, data=with_data(tiles, train_tiles=["1"], val_tiles=["2"]))
    assert (len(train), len(val), len(everything.val)) == (6, 1, 1)
    masks = {read_label(tiles / "labels" / f"{i}.tif").tobytes() for i in (3, 5)}
    assert {train.draw(key).mask.tobytes() for key in range(6)} == masks


def test_name_without_a_tile_is_refused(tiles: Path, tiles_config: Build) -> None:
    data = with_data(tiles, train_tiles=["3", "none"], val_tiles=["0"])
    with pytest.raises(LabelError, match="no image tile none"):
        sources(tiles_config, data=data)


def test_tile_for_both_parts_is_refused(tiles: Path, tiles_config: Build) -> None:
    data = with_data(tiles, train_tiles=["3", "4"], val_tiles=["4"])
    with pytest.raises(ConfigError, match="tile 4 is both"):
        sources(tiles_config, data=data)


def test_values_of_labels_become_class_ids(tiles: Path, tiles_config: Build) -> None:
    plain = sources(tiles_config).val.draw(0).mask
    for path in (tiles / "labels").iterdir():
        left = 500_000 + 640 * int(path.stem)
        write_raster(path, np.choose(read_label(path), [7, 255]).astype(np.uint8)[None], left=left)
    mapped = sources(tiles_config, data=with_data(tiles, label_values={7: 0, 255: 1}))
    assert (mapped.val.draw(0).mask == plain).all()
    with pytest.raises(LabelError, match="value 255, which label_values does not map"):
        sources(tiles_config, data=with_data(tiles, label_values={7: 0}))
    with pytest.raises(ConfigError, match="leads to 4, which is no class id"):
        sources(tiles_config, data=with_data(tiles, label_values={7: 0, 255: 4}))
