from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from compare_files import write_base, write_config, write_tiles

from geoconvlora.compare import CompareResult, compare


@pytest.fixture(scope="session", autouse=True)
def _little_work() -> Iterator[None]:
    """No test looks at how long something took."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geoconvlora.compare.cost._WARM_UPS", 1)
        patch.setattr("geoconvlora.compare.cost._TIMED", 1)
        yield


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiles and base weights, which tests only read."""
    folder = write_tiles(tmp_path_factory.mktemp("comparison"))
    write_base(folder / "base.safetensors")
    return folder


@pytest.fixture(scope="session")
def config_file(place: Path) -> Path:
    return write_config(place)


@pytest.fixture(scope="session")
def unbroken(config_file: Path, place: Path) -> CompareResult:
    """The tiny comparison, run once without interruption."""
    return compare(config_file, place / "unbroken")
