from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import matplotlib.image
import numpy as np
import pytest
from evaluate_inputs import ROOT, boxes, write_map
from typer.testing import CliRunner

import geoconvlora
from geoconvlora.cli import app
from geoconvlora.errors import ConfigError, LabelError, OutputError, SceneError
from geoconvlora.evaluate import ObjectEvaluation, PixelEvaluation

TRUTH = ((0, -100, 90, -10), (100, -100, 190, -10), (200, -100, 290, -10))
FOUND = ((0, -100, 90, -15), (105, -100, 190, -10), (300, -100, 390, -10))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Polygons and maps of the same 40 x 12 pixels, and the folder to work in."""
    boxes(*TRUTH, **{"class": ["a", "b", "a"]}).to_file(tmp_path / "labels.gpkg")
    boxes(*FOUND, **{"class": ["a", "b", "b"]}, crs=4326).to_file(tmp_path / "found.geojson")
    truth = np.zeros((12, 40), np.uint8)
    for left in (0, 10, 20):
        truth[1:10, left : left + 9] = 1
    write_map(tmp_path / "labels.tif", truth)
    write_map(tmp_path / "found.tif", np.roll(truth, 1, axis=1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_json_of_polygons_is_the_evaluation(folder: Path) -> None:
    done = run("found.geojson", "labels.gpkg", "--json")
    assert done.exit_code == 0, done.output
    report = ObjectEvaluation.model_validate_json(done.stdout)
    assert (report.tp, report.fp, report.fn) == (2, 1, 1)
    assert [each.name for each in report.classes] == ["a", "b"]
    assert report == geoconvlora.evaluate("found.geojson", "labels.gpkg")


def test_json_of_maps_is_the_evaluation(folder: Path) -> None:
    done = run("found.tif", "labels.tif", "--json")
    report = PixelEvaluation.model_validate_json(done.stdout)
    assert report == geoconvlora.evaluate("found.tif", "labels.tif")
    assert np.sum(report.confusion) == 480
    assert json.loads(done.stdout)["kind"] == "pixels"


def test_tables_are_for_people(folder: Path) -> None:
    done = run("found.geojson", "labels.gpkg")
    for word in ("precision", "2 / 1 / 1", "over-segmentation", "By class", "EPSG:32631"):
        assert word in done.stdout
    done = run("found.tif", "labels.gpkg")
    for word in ("Dice", "Confusion", "480 pixels", "(2 px)"):
        assert word in " ".join(done.stdout.split())


@pytest.mark.parametrize("kind", ["found.geojson", "found.tif"])
def test_markdown_and_picture_are_written_whole(folder: Path, kind: str) -> None:
    files = ("--markdown", "report.md", "--picture", "where.png")
    done = run(kind, "labels.gpkg", *files)
    assert done.exit_code == 0, done.output
    page = (folder / "report.md").read_text(encoding="utf-8")
    assert page.startswith(f"# Evaluation\n\n- {kind} against labels.gpkg")
    assert "| --- |" in page
    picture = matplotlib.image.imread(folder / "where.png")
    assert min(picture.shape[:2]) > 200
    assert not list(folder.glob(".*"))
    with pytest.raises(OutputError, match="exists already"):
        geoconvlora.evaluate(kind, "labels.gpkg", picture="where.png")
    assert run(kind, "labels.gpkg", *files, "--overwrite").exit_code == 0


def test_picture_has_the_colours_of_right_and_wrong(folder: Path) -> None:
    geoconvlora.evaluate("found.tif", "labels.tif", picture="where.png")
    picture = (matplotlib.image.imread(folder / "where.png")[..., :3] * 255).round().astype(int)
    shares = [
        (picture == np.array(colour)).all(axis=-1).mean()
        for colour in ([0xE6, 0x9F, 0x00], [0x00, 0x72, 0xB2])
    ]
    # 27 of 480 pixels each are added and missed.
    assert 0.02 < shares[0] < 0.08
    assert shares[0] == pytest.approx(shares[1], rel=0.2)


def test_extents_far_apart_are_drawn_in_panels(folder: Path) -> None:
    boxes((0, -100, 95, 0), (5000, -100, 5095, 0)).to_file("windows.gpkg")
    done = run("found.geojson", "labels.gpkg", "--within", "windows.gpkg", "--picture", "where.png")
    assert done.exit_code == 0, done.output
    assert "within windows.gpkg" in done.stdout
    height, width = matplotlib.image.imread(folder / "where.png").shape[:2]
    assert width > height


def test_evaluation_is_held_to_a_part_of_the_split(folder: Path) -> None:
    parts = boxes((0, -100, 95, 0), (95, -100, 400, 0), part=["test", "train"], scene=["s", "s"])
    parts.to_file("split.gpkg", layer="split")
    report = geoconvlora.evaluate("found.geojson", "labels.gpkg", split="split.gpkg")
    assert (report.tp, report.fp, report.fn) == (1, 0, 0)
    pixels = geoconvlora.evaluate("found.tif", "labels.tif", split="split.gpkg", part="train")
    assert pixels.pixels < 480


def test_columns_and_classes_are_named(folder: Path) -> None:
    gpd.read_file("labels.gpkg").rename(columns={"class": "crop"}).replace({"a": "x"}).to_file(
        "crops.gpkg"
    )
    plain = geoconvlora.evaluate("found.geojson", "crops.gpkg")
    assert plain.classes == ()
    report = run("found.geojson", "crops.gpkg", "--column", "crop", "--class-map", "x=a", "--json")
    assert [c["name"] for c in json.loads(report.stdout)["classes"]] == ["a", "b"]
    merged = run("found.geojson", "labels.gpkg", "--merge", "b=a", "--json")
    assert [c["name"] for c in json.loads(merged.stdout)["classes"]] == ["a"]
    with pytest.raises(ConfigError, match="no classes are compared"):
        geoconvlora.evaluate("found.geojson", "crops.gpkg", class_map={"x": "a"})


def test_class_of_one_side_alone_can_be_merged(folder: Path) -> None:
    labels = gpd.read_file("labels.gpkg")
    labels.assign(**{"class": "a"}).to_file("one.gpkg")
    report = geoconvlora.evaluate("found.geojson", "one.gpkg", merge={"b": "a"})
    assert [each.name for each in report.classes] == ["a"]
    boxes(**{"class": []}).to_file("none.gpkg")
    assert geoconvlora.evaluate("none.gpkg", "one.gpkg", merge={"b": "a"}).fn == 3


@pytest.mark.parametrize("suffix", [".parquet", ".fgb", ".shp", ".gpkg"])
def test_any_vector_format_is_read(folder: Path, suffix: str) -> None:
    labels = gpd.read_file("labels.gpkg")
    path = f"again{suffix}"
    labels.to_parquet(path) if suffix == ".parquet" else labels.to_file(path)
    assert geoconvlora.evaluate("found.geojson", path).tp == 2


def test_labels_in_pixels_for_polygons_are_refused(folder: Path) -> None:
    with pytest.raises(LabelError, match="make polygons of the labels first"):
        geoconvlora.evaluate("found.geojson", "labels.tif")
    (folder / "broken.gpkg").write_text("nothing", encoding="utf-8")
    with pytest.raises(SceneError, match="truncated or damaged"):
        geoconvlora.evaluate("found.geojson", "broken.gpkg")


def test_a_class_to_rename_may_be_missing_beside_one_that_is_there(folder: Path) -> None:
    mapping = {"a": "b", "c": "b"}
    with pytest.warns(UserWarning, match="no polygon is of class 'c', to be called otherwise"):
        geoconvlora.evaluate("found.geojson", "labels.gpkg", merge=mapping)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("found.tif", "labels.tif", "--sizes", "10,20"), "--sizes is for predictions that are"),
        (("found.geojson", "labels.gpkg", "--ignore", "7"), "--ignore is for predictions that"),
        (("found.tif", "labels.tif", "--column", "class"), "--column is of polygons"),
        (("found.geojson", "labels.gpkg", "--class-map", "c=a"), "'c' is no class: give one of a"),
        (("found.geojson", "labels.gpkg", "--merge", "c=a"), "'c' is no class: give one of a, b"),
        (("found.tif", "labels.tif", "--class-map", "c=1"), "'c' is no class"),
        (
            ("found.tif", "labels.gpkg", "--column", "class", "--class-map", "c=1"),
            "'c' is no class: give one of a, b",
        ),
        (("found.tif", "labels.gpkg", "--class-map", "a=1"), "name their column with --column"),
        (("found.tif", "nothing.tif"), "nothing.tif does not exist"),
        (("found.tif", "labels.tif", "--picture", "a.jpg"), "ends in .png"),
        (("found.tif", "labels.tif", "--markdown", "no/a.md"), "folder no does not exist"),
    ],
)
def test_what_cannot_work_is_one_clear_error(folder: Path, arguments, words: str) -> None:
    done = run(*arguments)
    assert words in str(done.exception)


@pytest.mark.parametrize(
    "option",
    [
        ("--boundary", "wide"),
        ("--class-map", "a"),
        ("--sizes", "a,b"),
        ("--sizes", "nan"),
        ("--sizes", "100,inf"),
        ("--ignore", ".5"),
        ("--ignore", "nan"),
        ("--ignore", "inf"),
    ],
)
def test_option_that_is_no_value_is_refused(folder: Path, option: tuple[str, str]) -> None:
    done = run("found.tif", "labels.tif", *option)
    assert done.exit_code == 2
    assert option[0] in done.output


def test_values_of_options_are_understood(folder: Path) -> None:
    done = run("found.tif", "labels.tif", "--boundary", "20m", "--ignore", "none", "--json")
    assert json.loads(done.stdout)["boundary_tolerance"] == "20 m"
    done = run("found.geojson", "labels.gpkg", "--sizes", "1000,9000", "--json")
    assert [size["to_m2"] for size in json.loads(done.stdout)["sizes"]] == [1000, 9000, None]


def test_evaluation_never_loads_torch() -> None:
    code = (
        "import sys, geoconvlora.evaluate.picture, geoconvlora.cli.evaluate\n"
        "assert callable(geoconvlora.evaluate)\n"
        "sys.exit(any(name.split('.')[0].startswith('torch') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
