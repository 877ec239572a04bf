import json
import subprocess
import sys
from pathlib import Path

import pytest
from compare_files import write_config
from typer.testing import CliRunner

from geoconvlora.cli import app
from geoconvlora.errors import OutputError

runner = CliRunner()


def test_table_as_json_and_for_people(place: Path, tmp_path: Path) -> None:
    rows = [{"method": "decoder-only"}]
    config = tmp_path / "compare.yaml"
    write_config(place, seeds=[0], methods=rows).rename(config)
    out = tmp_path / "out"
    done = runner.invoke(app, ["compare", str(config), "-o", str(out), "--json", "--quiet"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["runs"], report["rows"][0]["name"]) == (1, "decoder-only")
    assert report["rows"][0]["miou_std"] is None
    again = runner.invoke(app, ["compare", str(config), "-o", str(out), "--resume"])
    assert "mIoU" in again.stdout
    assert f"wrote {out}" in again.stdout


def test_rehearsal_counts_the_runs(place: Path, tmp_path: Path) -> None:
    config = tmp_path / "compare.yaml"
    write_config(place).rename(config)
    done = runner.invoke(app, ["compare", str(config), "-o", str(tmp_path / "out"), "--dry-run"])
    assert "would train 4 runs" in done.stderr
    assert not (tmp_path / "out").exists()


def test_folder_with_too_long_a_name_is_refused(place: Path, tmp_path: Path) -> None:
    config = tmp_path / "compare.yaml"
    write_config(place).rename(config)
    done = runner.invoke(app, ["compare", str(config), "-o", str(tmp_path / ("a" * 256))])
    assert isinstance(done.exception, OutputError)
    assert "choose a shorter one" in str(done.exception)


def test_existing_folder_is_refused(place: Path, tmp_path: Path) -> None:
    config = tmp_path / "compare.yaml"
    write_config(place).rename(config)
    done = runner.invoke(app, ["compare", str(config), "-o", str(tmp_path)])
    assert isinstance(done.exception, OutputError)


@pytest.mark.parametrize("arguments", [["--help"], ["none.yaml", "-o", "out"]])
def test_help_and_refusal_come_without_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from geoconvlora.cli import main\n"
        f"sys.argv = ['geoconvlora', 'compare', *{arguments!r}]\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert ended.returncode == (0 if arguments == ["--help"] else 2), ended.stderr
    assert b"Traceback" not in ended.stderr
