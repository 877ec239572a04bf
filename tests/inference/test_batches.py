from __future__ import annotations

import numpy as np
import pytest

from geoconvlora.inference.batches import read_batches
from geoconvlora.inference.task import MapTask, Scales
from geoconvlora.inference.tiles import Tiling
from geoconvlora.scenes import Normaliser, PredictionGrid, Window, open_scene, read_grid
from geoconvlora.scenes.area import read_area

NO = np.full(3, np.inf, np.float32)
IDENTITY = Normaliser(np.ones(3, np.float32), np.zeros(3, np.float32), -NO, NO)


def task_over(scene, *, zoom=None, overlap=4, tile=32, batch_size=2, bounds=None) -> MapTask:
    grid = PredictionGrid.zoomed(scene.geobox, **(zoom or {}))
    return MapTask(
        scene=scene,
        grid=grid,
        tiling=Tiling.over(grid.height, grid.width, tile=tile, overlap=overlap),
        normaliser=IDENTITY,
        classes=2,
        scales=Scales(),
        batch_size=batch_size,
        area=read_area(scene, grid, aoi=None, bounds=bounds),
    )


@pytest.mark.parametrize("zoom", [{}, {"zoom_in": 2}, {"zoom_in": 3}, {"zoom_out": 2}])
@pytest.mark.parametrize("overlap", [0, 4, 20])
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 48, "blockysize": 48}])
def test_tiles_are_windows_of_the_grid(write_scene, patchwork, zoom, overlap, layout) -> None:
    path = write_scene(np.where(patchwork > 247, 0, patchwork), nodata=0, **layout)
    with open_scene(path) as scene:
        task = task_over(scene, zoom=zoom, overlap=overlap)
        seen = []
        for batch in read_batches(task, task.tile_rows):
            for column, values, valid in zip(batch.columns, batch.values, batch.valid, strict=True):
                top, left = task.tiling.rows.start(batch.row), task.tiling.columns.start(column)
                window = Window(top, left, 32, 32)
                expected, mask = read_grid(scene, task.grid, window, IDENTITY)
                np.testing.assert_array_equal(values, expected)
                np.testing.assert_array_equal(valid, mask)
                seen.append((batch.row, column))
    assert seen == [(r, c) for r in task.tile_rows for c in range(len(task.tiling.columns))]


def test_rows_of_tiles_may_be_left_out(write_scene, patchwork) -> None:
    with open_scene(write_scene(patchwork)) as scene:
        task = task_over(scene)
        every = [b for b in read_batches(task, [0, 1, 2, 3]) if b.row in (0, 3)]
        some = list(read_batches(task, [0, 3]))
    assert [b.columns for b in some] == [b.columns for b in every]
    for one, other in zip(some, every, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_scene_smaller_than_a_tile_is_mirrored(write_scene) -> None:
    values = np.arange(1, 3 * 5 * 9 + 1, dtype=np.uint8).reshape(3, 5, 9)
    with open_scene(write_scene(values)) as scene:
        batch, _ = read_batches(task_over(scene, tile=16), [0])
    np.testing.assert_array_equal(
        batch.values[0], np.pad(values, ((0, 0), (0, 11), (0, 7)), mode="symmetric")
    )
    assert batch.valid.shape == (1, 5, 9)
    assert batch.valid.all()


def test_an_area_takes_whole_groups_of_the_scenes_own_batches(write_scene, patchwork) -> None:
    with open_scene(write_scene(patchwork)) as scene:
        whole = task_over(scene, overlap=0)
        batches = {(b.row, b.columns): b for b in read_batches(whole, whole.tile_rows)}
        left, top = 600_000 + 700, 5_600_000 - 400
        part = task_over(scene, overlap=0, bounds=(left, top - 300, left + 200, top))
        found = list(read_batches(part, part.tile_rows))
    assert [(b.row, b.columns) for b in found if b.columns] == [
        (1, (2, 3)),
        (2, (2, 3)),
        (3, (2, 3)),
    ]
    for batch in found:
        np.testing.assert_array_equal(batch.values, batches[batch.row, batch.columns].values)


def test_groups_without_a_valid_pixel_are_left_out(write_scene, patchwork) -> None:
    values = patchwork[:, :64, :128].copy()
    values[:, :32, :64] = 0
    with open_scene(write_scene(values, nodata=0)) as scene:
        task = task_over(scene, overlap=0)
        found = [(b.row, b.columns) for b in read_batches(task, task.tile_rows)]
    assert found == [(0, (2, 3)), (0, ()), (1, (0, 1)), (1, (2, 3)), (1, ())]
