from __future__ import annotations

from pathlib import Path

import pytest

from geoconvlora.synthetic import Landscape, SampleFiles, landscape, write_sample


@pytest.fixture(scope="session")
def farmland() -> Landscape:
    return landscape(11, 200, 330)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> SampleFiles:
    folder: Path = tmp_path_factory.mktemp("sample")
    return write_sample(folder / "demo", seed=5, size=(190, 333))
