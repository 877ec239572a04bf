import pickle
from pathlib import Path

import numpy as np
import pytest
import shapely
from training_files import FIELD_CLASSES, write_polygons, write_raster

from geoconvlora.errors import BandError, LabelError
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.config_file import load_config
from geoconvlora.training.samples import Pool
from geoconvlora.training.sources import open_sources

SIDE = 320


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene whose only band numbers its pixels, all of it one field but for a hole of nodata."""
    numbers = np.arange(1, SIDE * SIDE + 1, dtype=np.float32).reshape(1, SIDE, SIDE)
    numbers[:, 100:120, 100:120] = -1
    write_raster(tmp_path / "scene.tif", numbers, nodata=-1)
    x, y = 500_000, 5_600_000
    write_polygons(
        tmp_path / "labels.gpkg", [shapely.box(x + 1, y - 10 * SIDE + 1, x + 10 * SIDE - 1, y - 1)]
    )
    return tmp_path


def config(folder: Path, **changes: object) -> TrainConfig:
    scene = {"image": folder / "scene.tif", "labels": folder / "labels.gpkg"}
    return load_config(
        None,
        {
            "model": {"size": "vit_t", "method": "full"},
            "task": "instances",
            "instances": {"interior": 1, "boundary": 2},
            "classes": FIELD_CLASSES,
            "bands": [{"name": "red", "mean": 0, "std": 1}],
            "tile_size": 64,
            "data": {"kind": "scenes", "scenes": [scene], "samples_per_epoch": 40},
            "out": folder / "model.safetensors",
            **changes,
        },
    )


def pixels_seen(pool: Pool, draws: int) -> set[float]:
    samples = (pool.draw(key) for key in range(draws))
    return set(np.concatenate([s.image[0][s.valid] for s in samples]).tolist())


def test_no_pixel_is_seen_by_training_and_validation(scene: Path) -> None:
    train, val, _ = open_sources(config(scene))
    seen_train, seen_val = pixels_seen(train, 200), pixels_seen(val, len(val))
    assert len(seen_train) > SIDE * SIDE / 2
    assert not seen_train & seen_val


def test_validation_sees_each_of_its_pixels_once(scene: Path) -> None:
    val = open_sources(config(scene)).val
    values = np.concatenate([s.image[0][s.valid] for s in map(val.draw, range(len(val)))])
    assert len(values) == len(set(values.tolist())) > 0.15 * SIDE * SIDE


def test_image_and_mask_are_of_the_same_place(scene: Path) -> None:
    train = open_sources(config(scene)).train
    for key in range(20):
        sample = train.draw(key)
        rows, columns = np.divmod(sample.image[0].astype(int) - 1, SIDE)
        edge = (np.minimum(rows, columns) == 0) | (np.maximum(rows, columns) == SIDE - 1)
        labelled = sample.valid & (sample.mask != 255)
        assert (sample.mask[labelled] == np.where(edge, 2, 1)[labelled]).all()


def test_pixels_without_data_are_zero_and_ignored(scene: Path) -> None:
    train = open_sources(config(scene, bands=[{"name": "red", "mean": 7, "std": 2}])).train
    batch = [train.draw(key).to_torch() for key in range(60)]
    assert any((~sample["valid"]).any() for sample in batch)
    for sample in batch:
        assert (sample["mask"][~sample["valid"]] == 255).all()
        assert (sample["image"][:, ~sample["valid"]] == 0).all()


def test_statistics_are_of_valid_training_pixels(scene: Path) -> None:
    train, _, bands = open_sources(config(scene, bands=[{"name": "red"}]))
    values = np.concatenate([s.image[0][s.valid] for s in map(train.draw, range(40))])
    assert values.mean() == pytest.approx(0, abs=1e-3)
    assert values.std() == pytest.approx(1, abs=1e-3)
    assert bands[0].mean > 1000


def test_samples_depend_on_seed_and_key_alone(scene: Path) -> None:
    one, other = open_sources(config(scene)).train, open_sources(config(scene)).train
    other.draw(3)
    copy = pickle.loads(pickle.dumps(one))
    for key in (0, 7, 10**9):
        assert np.array_equal(one.draw(key).image, other.draw(key).image)
        assert np.array_equal(one.draw(key).image, copy.draw(key).image)
    moved = open_sources(config(scene, seed=1)).train
    assert not np.array_equal(one.draw(0).image, moved.draw(0).image)


def test_scene_finer_than_a_tile_on_the_networks_grid(scene: Path) -> None:
    train = open_sources(config(scene, resolution={"gsd_m": 5})).train
    sample = train.draw(0)
    assert sample.image.shape == (1, 64, 64)
    assert len(np.unique(sample.image[0][sample.valid].round())) > 32 * 32


def test_scene_smaller_than_a_tile_is_split_all_the_same(scene: Path) -> None:
    train, val, _ = open_sources(config(scene, tile_size=512))
    assert not pixels_seen(train, 20) & pixels_seen(val, len(val))


def test_too_few_labels_for_a_split_are_refused(scene: Path) -> None:
    x, y = 500_000, 5_600_000
    extent = write_polygons(scene / "extent.gpkg", [shapely.box(x + 50, y - 90, x + 90, y - 50)])
    source = {
        "image": scene / "scene.tif",
        "labels": scene / "labels.gpkg",
        "extent": extent,
    }
    with pytest.raises(LabelError, match="single block"):
        open_sources(config(scene, **{"data.scenes": [source]}))


def test_wrong_band_count_is_refused(scene: Path) -> None:
    names = [{"name": n} for n in ("red", "green", "blue")]
    with pytest.raises(BandError, match=r"scene\.tif"):
        open_sources(config(scene, bands=names))
