from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import shapely

from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.inference import predict
from geoconvlora.inference.outputs import plan_outputs


def plan(out, probs=None, inputs=(), overwrite=False):
    return plan_outputs(out, probs, inputs=list(inputs), overwrite=overwrite)


def test_suffix_decides(tmp_path: Path) -> None:
    names = ["a.gpkg", "b.FGB", "c.parquet", "d.geojson", "e.tif"]
    made = plan([tmp_path / name for name in names], tmp_path / "p.tif")
    assert [p.name for p in made.polygons] == names[:4]
    assert [p.name for p in made.classes] == ["e.tif"]
    assert made.probabilities == tmp_path / "p.tif"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["map.shp", "map", "map.png"])
def test_unknown_suffix_is_refused_with_those_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        OutputError, match=r"\.gpkg \.fgb \.parquet \.geojson \(polygons\) or \.tif"
    ):
        plan(tmp_path / name)


def test_probabilities_must_be_tif(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"name it \.tif"):
        plan(tmp_path / "a.gpkg", tmp_path / "p.png")


def test_existing_file_needs_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"exists.*--overwrite"):
        plan(path)
    assert plan(path, overwrite=True).files == (path,)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("length", [230, 300])
@pytest.mark.parametrize("suffix", [".gpkg", ".tif"])
def test_name_too_long_for_temporary_files_is_refused(
    tmp_path: Path, length: int, suffix: str
) -> None:
    with pytest.raises(OutputError, match=f"the name has {length + len(suffix)} bytes"):
        plan(tmp_path / ("a" * length + suffix))


def test_path_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a folder less deep"):
        plan(tmp_path.joinpath(*["a" * 200] * 21, "a.tif"))


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; make it first"):
        plan(tmp_path / "no" / "a.gpkg")


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch) -> None:
    def denied(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", denied)  # root may write everywhere
    with pytest.raises(OutputError, match="cannot be written"):
        plan(tmp_path / "a.gpkg")


def test_folder_as_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gpkg").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        plan(tmp_path / "a.gpkg", overwrite=True)


def test_output_may_not_be_the_scene(tmp_path: Path) -> None:
    scene = tmp_path / "scene.tif"
    scene.touch()
    with pytest.raises(ConfigError, match="named twice"):
        plan(tmp_path / "x" / ".." / "scene.tif", inputs=[str(scene)], overwrite=True)


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="named twice"):
        plan(tmp_path / "a.tif", tmp_path / "a.tif")


def test_nothing_to_write_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to write"):
        plan([])


def test_no_output_replaces_what_is_read(make_model, write_scene, patchwork, tmp_path) -> None:
    scene = write_scene(patchwork)
    mosaic = tmp_path / "mosaic.vrt"
    mosaic.write_text(_vrt_of(scene), encoding="utf-8")
    area = tmp_path / "area.gpkg"
    box = shapely.box(600_000, 5_599_000, 601_000, 5_600_000)
    gpd.GeoSeries([box], crs=32631).to_file(area)
    before = {path: path.read_bytes() for path in (scene, area)}
    with pytest.raises(ConfigError, match=r"scene.tif is a file that .*mosaic.vrt is read from"):
        predict(mosaic, scene, model=make_model(), overwrite=True)
    with pytest.raises(ConfigError, match=r"area.gpkg is named twice, as input or output"):
        predict(scene, area, model=make_model(), aoi=area, overwrite=True)
    assert all(path.read_bytes() == content for path, content in before.items())


def _vrt_of(scene: Path) -> str:
    with rasterio.open(scene) as source:
        bands = "".join(
            f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename>{scene}'
            f"</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
            for band in (1, 2, 3)
        )
        transform = ", ".join(map(str, source.transform.to_gdal()))
        return (
            f'<VRTDataset rasterXSize="{source.width}" rasterYSize="{source.height}">'
            f"<SRS>EPSG:32631</SRS><GeoTransform>{transform}</GeoTransform>{bands}</VRTDataset>"
        )
