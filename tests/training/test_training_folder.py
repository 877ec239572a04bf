from pathlib import Path

import pytest

from geoconvlora.errors import OutputError
from geoconvlora.training.config_file import load_config
from geoconvlora.training.folder import RunFolder

CONFIG = Path(__file__).parents[2] / "configs" / "fields_base.yaml"


def test_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "m.run").write_text("a file is in the way")
    with (
        pytest.raises(OutputError, match=r"m\.run cannot be made: File exists"),
        RunFolder(tmp_path / "m.run").held(),
    ):
        pass


def test_second_run_is_refused_while_one_writes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "m.run")
    with (
        folder.held(),
        pytest.raises(OutputError, match=r"m\.run: another run is writing in it"),
        folder.held(),
    ):
        pass
    with folder.held():
        pass


def test_name_too_long_is_refused_before_training(tmp_path: Path) -> None:
    config = load_config(CONFIG, {"out": tmp_path / f"{'m' * 250}.safetensors"})
    with pytest.raises(OutputError, match="choose one of"):
        RunFolder(config.run_folder).check(config, resume=False, overwrite=False)
