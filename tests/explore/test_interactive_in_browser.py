"""The interactive map in a browser: switches, opacities, attributes at the pointer, no requests."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from geoconvlora import explore

pytest.importorskip("bokeh", reason="Bokeh is not installed: pip install 'geoconvlora[notebooks]'")

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

PLAY = """<script>
const wait = ms => new Promise(done => setTimeout(done, ms));
const errors = [];
window.addEventListener("error", event => errors.push(event.message));
window.addEventListener("unhandledrejection", event => errors.push(String(event.reason)));
function within(root, selector) {
  let found = [...root.querySelectorAll(selector)];
  for (const each of root.querySelectorAll("*"))
    if (each.shadowRoot) found = found.concat(within(each.shadowRoot, selector));
  return found;
}
(async () => {
  await wait(4000);
  const models = [...Bokeh.documents[0]._all_models.values()];
  const of = kind => models.filter(model => model.type == kind);
  const layers = () => of("GlyphRenderer");
  const said = {shown: layers().map(layer => layer.visible)};
  for (const each of of("Switch")) each.active = !each.active;
  await wait(500);
  said.toggled = layers().map(layer => layer.visible);
  for (const each of of("Switch")) each.active = true;
  for (const each of of("Slider")) each.value = 0.5;
  await wait(500);
  said.opacity = layers().map(
    layer => (layer.glyph.global_alpha ?? layer.glyph.line_alpha).value);
  const [target] = within(document, ".bk-events");
  const box = target.getBoundingClientRect();
  const x = box.x + box.width / 2, y = box.y + box.height / 2;
  const at = {clientX: x, clientY: y, pageX: x, pageY: y, bubbles: true, composed: true,
              pointerType: "mouse", pointerId: 1, isPrimary: true};
  for (const kind of ["pointerover", "pointerenter", "pointermove"])
    target.dispatchEvent(new PointerEvent(kind, at));
  await wait(1000);
  said.attributes = within(document, ".bk-tooltip-row-value").map(cell => cell.textContent.trim());
  said.requests = performance.getEntriesByType("resource").map(each => each.name)
    .filter(name => !name.startsWith("data:"));
  said.errors = errors;
  document.title = JSON.stringify(said);
})();
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_map_works_in_a_browser(scene_file: Path, class_file: Path, tmp_path: Path) -> None:
    square = shapely.box(500_250, 4_999_750, 500_350, 4_999_850)
    fields = gpd.GeoDataFrame(
        {"class": ["field"], "name": ["<i>far & wide</i>"]}, geometry=[square], crs=32631
    )
    page = explore.interactive_map(scene_file, class_file, polygons=fields).html()
    played = tmp_path / "played.html"
    played.write_text(PLAY.join(page.rsplit("</body>", 1)), encoding="utf-8")
    done = subprocess.run(
        [
            str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1050,720",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=15000", "--dump-dom",
            played.as_uri(),
        ],
        capture_output=True, text=True, timeout=250, check=True,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title is not None
    said: dict[str, Any] = json.loads(html.unescape(title[1]))
    assert said["shown"] == [not shown for shown in said["toggled"]]
    assert sorted(said["shown"]) == [False, True, True]
    assert said["opacity"] == [0.5, 0.5, 0.5]
    assert said["attributes"] == ["field", "<i>far & wide</i>"]
    assert said["requests"] == []
    assert said["errors"] == []
