import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from training_files import FIELD_CLASSES, described, warp, write_polygons, write_raster

from geoconvlora.errors import BandError, ConfigError, LabelError, SceneError
from geoconvlora.scenes import Window
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.config_file import load_config
from geoconvlora.training.samples import Pool
from geoconvlora.training.sources import open_sources

SIDE, FIELD = 320, 20


X, Y = 500_000, 5_600_000


def square(row: int, column: int, side: int) -> shapely.Polygon:
    """Pixels of the scene as a polygon on the ground."""
    left, top = X + 10 * column, Y - 10 * row
    return shapely.box(left, top - 10 * side, left + 10 * side, top)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene whose only band numbers its pixels, with a hole of nodata, full of small fields."""
    numbers = np.arange(1, SIDE * SIDE + 1, dtype=np.float32).reshape(1, SIDE, SIDE)
    numbers[:, 100:120, 100:120] = -1
    write_raster(tmp_path / "scene.tif", numbers, nodata=-1)
    places = range(0, SIDE, FIELD)
    fields = [square(row, column, FIELD) for row in places for column in places]
    write_polygons(tmp_path / "labels.gpkg", fields)
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


def test_no_pixel_is_seen_by_two_parts(scene: Path) -> None:
    sources = open_sources(config(scene))
    seen_train = pixels_seen(sources.train, 300)
    seen_val, seen_test = (pixels_seen(pool, len(pool)) for pool in (sources.val, sources.test))
    assert len(seen_train) > SIDE * SIDE / 2
    assert seen_test
    assert not seen_train & seen_val
    assert not seen_test & (seen_train | seen_val)


def test_validation_sees_each_of_its_pixels_once(scene: Path) -> None:
    val = open_sources(config(scene)).val
    values = np.concatenate([s.image[0][s.valid] for s in map(val.draw, range(len(val)))])
    assert len(values) == len(set(values.tolist())) > 0.15 * SIDE * SIDE


def test_image_and_mask_are_of_the_same_place(scene: Path) -> None:
    train = open_sources(config(scene)).train
    for key in range(20):
        sample = train.draw(key)
        rows, columns = np.divmod(sample.image[0].astype(int) - 1, SIDE)
        edge = np.isin(rows % FIELD, (0, FIELD - 1)) | np.isin(columns % FIELD, (0, FIELD - 1))
        labelled = sample.valid & (sample.mask != 255)
        assert (sample.mask[labelled] == np.where(edge, 2, 1)[labelled]).all()


def test_pixels_without_data_are_zero_and_ignored(scene: Path) -> None:
    train = open_sources(config(scene, bands=[{"name": "red", "mean": 7, "std": 2}])).train
    batch = [train.draw(key).to_torch() for key in range(60)]
    assert any((~sample["valid"]).any() for sample in batch)
    for sample in batch:
        assert (sample["mask"][~sample["valid"]] == 255).all()
        assert (sample["image"][:, ~sample["valid"]] == 0).all()


def test_statistics_are_those_of_each_valid_training_pixel_once(scene: Path) -> None:
    plain = open_sources(config(scene)).split.scenes[0]
    whole = plain.sample("train", Window(0, 0, SIDE, SIDE))
    values = whole.image[0][whole.valid].astype(np.float64)
    (band,) = open_sources(config(scene, bands=[{"name": "red"}])).bands
    assert len(values) < SIDE * SIDE - 400
    assert band.mean == pytest.approx(values.mean(), rel=1e-12)
    assert band.std == pytest.approx(values.std(), rel=1e-12)


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
    train, val, *_ = open_sources(config(scene, tile_size=512))
    assert not pixels_seen(train, 20) & pixels_seen(val, len(val))


def test_too_few_labels_for_a_split_are_refused(scene: Path) -> None:
    extent = write_polygons(scene / "extent.gpkg", [square(5, 5, 4)])
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


def placed_config(folder: Path, sources: list[dict], **changes: object) -> TrainConfig:
    return config(folder, **{"data.scenes": sources, **changes})


def test_classes_are_looked_for_equally_often_when_balanced(scene: Path) -> None:
    ponds = [square(40, 60, 8), square(200, 260, 8), square(280, 30, 8), square(120, 220, 8)]
    labels = write_polygons(scene / "ponds.gpkg", ponds)
    source = {"image": scene / "scene.tif", "labels": labels}
    changes = {"task": "classes", "instances": None, "classes": FIELD_CLASSES[:2]}
    shares = []
    for sampling in ("random", "balanced"):
        build = placed_config(scene, [source], **changes, **{"data.sampling": sampling})
        train = open_sources(build).train
        shares.append(np.mean([(train.draw(key).mask == 1).any() for key in range(60)]))
    assert shares[0] < 0.6
    assert shares[1] > shares[0]
    assert shares[1] >= 0.5


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_empty_windows_are_kept_at_their_rate(scene: Path, rate: float) -> None:
    labels = write_polygons(scene / "corner.gpkg", [square(10, 10, 8), square(200, 200, 8)])
    source = {"image": scene / "scene.tif", "labels": labels}
    changes = {"task": "classes", "instances": None, "classes": FIELD_CLASSES[:2]}
    train = open_sources(
        placed_config(scene, [source], **changes, **{"data.empty_windows": rate})
    ).train
    empty = np.mean([not (train.draw(key).mask == 1).any() for key in range(200)])
    assert empty == pytest.approx(0.93 * rate, abs=0.08)


def test_grid_visits_every_window_once_a_round(scene: Path) -> None:
    source = {"image": scene / "scene.tif", "labels": scene / "labels.gpkg"}
    data = {"kind": "scenes", "scenes": [source], "sampling": "grid", "overlap": 16}
    train = open_sources(config(scene, data=data)).train
    rounds = [
        [train.draw(k).image.tobytes() for k in range(start, start + len(train))]
        for start in (0, len(train))
    ]
    assert len(set(rounds[0])) == len(train) > 10
    assert sorted(rounds[0]) == sorted(rounds[1])
    assert rounds[0] != rounds[1]


def test_scenes_of_other_crs_resolution_type_and_band_order_share_a_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = [square(row, column, 16) for row in range(4, 120, 32) for column in range(4, 120, 32)]
    labels = write_polygons(tmp_path / "labels.gpkg", truth)
    field = np.zeros((128, 128), dtype=bool)
    for row in range(4, 120, 32):
        for column in range(4, 120, 32):
            field[row : row + 16, column : column + 16] = True
    bright = np.where(field, 200, 50)
    dark = rng.integers(0, 20, (128, 128))
    write_raster(tmp_path / "near.tif", np.stack([bright, dark]).astype(np.uint8))
    described(tmp_path / "near.tif", "red", "nir")
    write_raster(tmp_path / "other.tif", np.stack([dark, bright]).astype(np.uint16) * 40)
    described(tmp_path / "other.tif", "nir", "red")
    warp(tmp_path / "other.tif", tmp_path / "far.tif", "EPSG:32630", 5)
    source = [{"image": tmp_path / f"{name}.tif", "labels": labels} for name in ("near", "far")]
    source[1]["scaling"] = {"scale": 1 / 40}
    wanted = {
        "bands": [{"name": "red"}, {"name": "nir"}],
        "task": "classes",
        "instances": None,
        "classes": FIELD_CLASSES[:2],
        "resolution": {"gsd_m": 10},
        "tile_size": 32,
    }
    train, _, bands, *_ = open_sources(placed_config(tmp_path, source, **wanted))
    assert bands[0].mean > 60 > 20 > bands[1].mean
    seen = set()
    for key in range(40):
        sample = train.draw(key)
        inside = sample.valid & (sample.mask == 1)
        outside = sample.valid & (sample.mask == 0)
        if inside.sum() > 100 and outside.sum() > 100:
            assert sample.image[0][inside].mean() > 1 > 0 > sample.image[0][outside].mean()
        seen.add(sample.image.tobytes())
    assert len(seen) > 30


def test_ground_that_two_scenes_show_is_of_one_part(scene: Path) -> None:
    numbers = np.arange(1, SIDE * SIDE + 1, dtype=np.float32).reshape(1, SIDE, SIDE)
    # Seen 35 pixels further east and 20 further south: the same ground has other numbers.
    write_raster(scene / "moved.tif", numbers, left=X + 350, top=Y - 200, nodata=-1)
    source = [
        {"image": scene / f"{name}.tif", "labels": scene / "labels.gpkg"}
        for name in ("scene", "moved")
    ]
    sources = open_sources(placed_config(scene, source))
    seen: dict[str, set] = {}
    whole = Window(0, 0, SIDE, SIDE)
    for part in ("train", "val", "test"):
        one, other = (s.split.pixels(part, whole) for s in sources.split.scenes)
        rows, columns = np.nonzero(one)
        moved_rows, moved_columns = np.nonzero(other)
        seen[part] = set(zip(rows.tolist(), columns.tolist(), strict=True)) | set(
            zip((moved_rows + 20).tolist(), (moved_columns + 35).tolist(), strict=True)
        )
    assert all(seen.values())
    assert not seen["train"] & (seen["val"] | seen["test"])
    assert not seen["val"] & seen["test"]


def test_dates_of_one_place_are_split_alike_and_stack_as_bands(scene: Path) -> None:
    numbers = np.arange(1, SIDE * SIDE + 1, dtype=np.float32).reshape(1, SIDE, SIDE)
    numbers[:, 200:210, :5] = -1
    write_raster(scene / "june.tif", numbers + 1000 * (numbers > 0), nodata=-1)
    apart = [
        {"image": scene / f"{name}.tif", "labels": scene / "labels.gpkg"}
        for name in ("scene", "june")
    ]
    one, other = open_sources(placed_config(scene, apart)).split.scenes
    assert one.split is other.split
    stacked = [
        {"image": [scene / "scene.tif", scene / "june.tif"], "labels": scene / "labels.gpkg"}
    ]
    names = [{"name": n, "mean": 0, "std": 1} for n in ("red april", "red june")]
    train = open_sources(placed_config(scene, stacked, bands=names)).train
    sample = train.draw(0)
    valid = sample.valid
    assert (sample.image[1][valid] - sample.image[0][valid] == 1000).all()


def test_stack_of_different_grids_is_refused_with_the_way_to_warp(scene: Path) -> None:
    write_raster(scene / "june.tif", np.ones((1, SIDE, SIDE), np.float32), left=X + 10)
    images = [scene / "scene.tif", scene / "june.tif"]
    source = [{"image": images, "labels": scene / "labels.gpkg"}]
    names = [{"name": "april"}, {"name": "june"}]
    with pytest.raises(
        SceneError, match=r"june\.tif is not on the grid .*gdalwarp -t_srs EPSG:32631"
    ):
        open_sources(placed_config(scene, source, bands=names))


def test_scene_that_lacks_a_band_is_named(scene: Path) -> None:
    write_raster(scene / "two.tif", np.ones((2, SIDE, SIDE), np.float32))
    source = [
        {"image": scene / f"{name}.tif", "labels": scene / "labels.gpkg"}
        for name in ("two", "scene")
    ]
    names = [{"name": "red"}, {"name": "nir"}]
    with pytest.raises(BandError, match=r"scene 2 of 2 .*\(red, nir\): .*scene\.tif has 1 band"):
        open_sources(placed_config(scene, source, bands=names))


def test_bands_that_a_scene_describes_as_others_are_refused_unless_they_are_chosen(
    scene: Path,
) -> None:
    values = np.random.default_rng(0).random((2, SIDE, SIDE)).astype(np.float32)
    described(write_raster(scene / "right.tif", values), "red", "nir")
    described(write_raster(scene / "wrong.tif", values), "green", "red")
    source = [
        {"image": scene / f"{name}.tif", "labels": scene / "labels.gpkg"}
        for name in ("right", "wrong")
    ]
    names = [{"name": "red"}, {"name": "nir"}]
    with pytest.raises(
        BandError,
        match=r"scene 2 of 2 .*wrong\.tif has other .* red = 1 \(green\), nir = 2 \(red\)",
    ):
        open_sources(placed_config(scene, source, bands=names))
    source[1]["bands"] = [1, 2]
    assert len(open_sources(placed_config(scene, source, bands=names)).bands) == 2


def test_resolutions_that_differ_need_one_to_be_named(scene: Path) -> None:
    warp(scene / "scene.tif", scene / "coarse.tif", "EPSG:32631", 40)
    source = [
        {"image": scene / f"{name}.tif", "labels": scene / "labels.gpkg"}
        for name in ("scene", "coarse")
    ]
    with pytest.raises(ConfigError, match=r"scene\.tif has pixels of 10 m .*set resolution\.gsd_m"):
        open_sources(placed_config(scene, source))


def test_values_that_overflow_are_refused_with_their_band(scene: Path) -> None:
    scaling = {"kind": "linear", "scale": 1e38}
    with pytest.raises(SceneError, match="statistics of band 'red' are not numbers"):
        open_sources(config(scene, bands=[{"name": "red"}], scaling=scaling))


def test_class_without_a_training_pixel_is_refused(scene: Path) -> None:
    classes = [*FIELD_CLASSES, {"id": 3, "name": "lake", "color": "#0000ff"}]
    with pytest.raises(LabelError, match="no pixel of the training part is of class 'lake'"):
        open_sources(config(scene, classes=classes))
    with pytest.warns(UserWarning, match="class 'lake'"):
        open_sources(config(scene, classes=classes, **{"split.absent_classes": "warn"}))


def test_part_of_a_single_class_is_refused(scene: Path) -> None:
    labels = write_polygons(scene / "one.gpkg", [square(-50, -50, 500)])
    source = [{"image": scene / "scene.tif", "labels": labels}]
    changes = {"task": "classes", "instances": None, "classes": FIELD_CLASSES[:2]}
    with pytest.raises(
        LabelError, match="labelled pixels of the training part are of class 'field'"
    ):
        open_sources(placed_config(scene, source, **changes))


def test_labels_on_nodata_alone_are_no_labels(scene: Path) -> None:
    extent = write_polygons(scene / "hole.gpkg", [square(100, 100, 20)])
    source = {"image": scene / "scene.tif", "labels": scene / "labels.gpkg", "extent": extent}
    with pytest.raises(LabelError, match="no valid pixel of the training part is labelled"):
        open_sources(placed_config(scene, [source], **{"split.block_size_m": 110}))


def test_labels_elsewhere_are_refused_unless_they_label_another_scene(scene: Path) -> None:
    numbers = np.ones((1, SIDE, SIDE), np.float32)
    write_raster(scene / "away.tif", numbers, left=X + 100_000)
    away, near = (
        {"image": scene / f"{name}.tif", "labels": scene / "labels.gpkg"}
        for name in ("away", "scene")
    )
    with pytest.raises(LabelError, match=r"labels\.gpkg: none of its labels lies on .*away\.tif"):
        open_sources(placed_config(scene, [away]))
    with pytest.warns(UserWarning, match=r"on 1 of its 2 scenes .*counts as background"):
        train = open_sources(placed_config(scene, [away, near])).train
    masks = [train.draw(key).mask for key in range(12)]
    assert any((mask == 0).any() for mask in masks)
    assert any((mask == 1).any() for mask in masks)


def test_sources_of_a_mix_whose_scenes_share_ground_must_not_split_it_apart(scene: Path) -> None:
    with rasterio.open(scene / "scene.tif") as raster:
        part = raster.read()[:, 37:, 53:]
    write_raster(scene / "part.tif", part, left=X + 530, top=Y - 370, nodata=-1)

    def mixed(*images: str) -> TrainConfig:
        sources = [
            {
                "source": {
                    "kind": "scenes",
                    "scenes": [{"image": scene / image, "labels": scene / "labels.gpkg"}],
                }
            }
            for image in images
        ]
        return config(scene, data={"kind": "mix", "sources": sources})

    with pytest.warns(UserWarning, match=r"scene\.tif and .*part\.tif show common ground"):
        open_sources(mixed("scene.tif", "part.tif"))
    # One split of one scene is of one piece.
    assert open_sources(mixed("scene.tif", "scene.tif")).split.scenes
