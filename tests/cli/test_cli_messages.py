from __future__ import annotations

import warnings

import pytest
from rasterio.errors import NotGeoreferencedWarning

from geoconvlora.cli.messages import warnings_as_lines


def test_warning_is_one_line_on_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_as_lines():
        warnings.simplefilter("always")
        for _ in range(2):
            warnings.warn("two\n  lines", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "Warning: two lines\n"


def test_former_way_of_warning_is_restored() -> None:
    former = warnings.showwarning
    with warnings_as_lines():
        pass
    assert warnings.showwarning is former


def test_remark_about_arrays_in_memory_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_as_lines():
        warnings.simplefilter("always")
        warnings.warn("no geotransform", NotGeoreferencedWarning, stacklevel=1)
    assert capsys.readouterr().err == ""
