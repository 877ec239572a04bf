"""GDAL is set as the package says it is."""

from __future__ import annotations

from threading import Event, Thread

from rasterio.env import get_gdal_config

from geoconvlora.scenes.environment import CACHE_MB, raster_environment


def test_block_cache_holds_megabytes() -> None:
    with raster_environment():
        assert get_gdal_config("GDAL_CACHEMAX") == CACHE_MB * 2**20


def test_a_thread_keeps_no_option_that_another_one_had_set() -> None:
    """It would see no mask beside a file any more, once two have read remote scenes at a time."""
    option = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    done, left = Event(), Event()
    seen = []

    def other() -> None:
        with raster_environment(**option):
            pass
        done.set()
        left.wait(30)
        seen.append(get_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN"))

    thread = Thread(target=other)
    with raster_environment(**option):
        thread.start()
        done.wait(30)
    left.set()
    thread.join()
    assert seen == [None]
