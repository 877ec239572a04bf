from pathlib import Path

import pytest

from geoconvlora.errors import OutputError
from geoconvlora.training.config_file import load_config
from geoconvlora.training.folder import RunFolder

CONFIG = Path(__file__).parents[2] / "configs" / "fields_base.yaml"


def test_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "m.run").write_text("a file is in the way")
    with pytest.raises(OutputError, match=r"m\.run cannot be made: File exists"):
        RunFolder(tmp_path / "m.run").prepare(load_config(CONFIG), resume=False)
