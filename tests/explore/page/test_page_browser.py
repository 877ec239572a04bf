"""The page in a browser: real clicks, and nothing that leaves the machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from geoconvlora.explore.page import view

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome")
     if (path := shutil.which(name))),
    None,
)  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
#: Where polygon 5 is: 410 to 490 m right of, 600 to 350 m below the corner.
FIFTH = "500450.0/5599525.0"


@pytest.fixture(scope="module")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a page with all kinds of layers."""
    names = ("fields.gpkg", "probabilities.tif", "scene.tif", "classes.tif")
    page = tmp_path_factory.mktemp("page") / "page.html"
    view([folder / name for name in names], page)
    return page.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(params=[DESKTOP], ids=["desktop"])
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The open page; afterwards it must not have complained, nor asked anybody for anything."""
    page = browser.new_page(viewport=request.param, has_touch=request.param is PHONE)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    asked: list[str] = []
    page.on("request", lambda asking: asked.append(asking.url.split("#")[0]))
    go_to(page, address)
    yield page
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:") and url != address] == []


def go_to(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("html[data-ready]")


def fragment(page: Page) -> str:
    href = page.get_by_role("link", name="Link to this place").get_attribute("href")
    assert href is not None
    return href


def place(page: Page) -> tuple[float, ...]:
    return tuple(map(float, fragment(page)[1:].split("/")))


def show_place(page: Page, fragment_text: str) -> None:
    page.evaluate("text => { location.hash = text }", fragment_text)
    page.wait_for_function(
        "text => document.getElementById('permalink').hash === text", arg=fragment_text
    )


def middle_of_map(page: Page) -> tuple[float, float]:
    box = page.locator("#map").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def attributes(page: Page) -> dict[str, str]:
    rows = page.locator(".leaflet-popup tr")
    rows.first.wait_for()
    return {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows.all()}


def test_layers_are_listed_from_the_top_with_what_is_on(page: Page) -> None:
    boxes = page.locator("#layers input[type=checkbox]").all()
    states = [(box.evaluate("box => box.labels[0].textContent"), box.is_checked()) for box in boxes]
    assert states == [
        ("fields.gpkg", True),
        ("probabilities.tif: field", False),
        ("classes.tif", False),
        ("scene.tif", True),
    ]


def test_legend_tells_areas_of_classes(page: Page) -> None:
    text = page.locator("#layers").inner_text()
    # 32 x 16 pixels of 10 m, and polygons of 80 m by 50, 150 and 250 m.
    assert "5.12 ha" in text
    assert "3 · 3.6 ha" in text


def test_a_picture_goes_and_comes_with_its_box(page: Page) -> None:
    box = page.get_by_label("classes.tif", exact=True)
    box.check()
    assert page.locator("img[alt='classes.tif']").count() == 1
    box.uncheck()
    assert page.locator("img[alt='classes.tif']").count() == 0


def test_polygons_go_and_come_with_their_box(page: Page) -> None:
    show_place(page, f"#2/{FIFTH}")
    x, y = middle_of_map(page)
    spot = {"x": x - 3, "y": y - 3, "width": 6, "height": 6}
    page.get_by_label("scene.tif", exact=True).uncheck()
    with_polygons = page.screenshot(clip=spot)
    page.get_by_label("fields.gpkg", exact=True).uncheck()
    without = page.screenshot(clip=spot)
    page.get_by_label("fields.gpkg", exact=True).check()
    assert without != with_polygons
    assert page.screenshot(clip=spot) == with_polygons


def test_opacity_follows_the_slider(page: Page) -> None:
    slider = page.get_by_label("Opacity of scene.tif, percent")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert page.locator("img[alt='scene.tif']").evaluate("image => image.style.opacity") == "0.5"


def test_a_click_shows_the_attributes_of_the_polygon_under_it(page: Page) -> None:
    show_place(page, f"#2/{FIFTH}")
    page.mouse.click(*middle_of_map(page))
    assert attributes(page) == {
        "id": "5", "class": "field", "area_m2": "2 ha", "confidence": "0.7", "note": "e",
    }  # fmt: skip


def test_hovering_tells_class_area_and_confidence(page: Page) -> None:
    show_place(page, f"#2/{FIFTH}")
    page.mouse.move(*middle_of_map(page))
    assert page.locator(".leaflet-tooltip").inner_text() == "field, id 5, area 2 ha, confidence 0.7"


def test_a_row_of_the_table_zooms_to_its_polygon(page: Page) -> None:
    show_place(page, "#0/500000.0/5600000.0")
    page.locator("#rows tbody tr").nth(1).click()
    assert attributes(page)["id"] == "5"
    zoom, x, y = place(page)
    assert zoom > 1
    # The popup may have moved the map so that it fits.
    assert abs(x - 500_450) < 40
    assert abs(y - 5_599_525) < 150
    assert page.locator("tr[aria-current=true] td").first.inner_text() == "5"


def test_the_table_works_by_keyboard_and_shows_a_hidden_layer(page: Page) -> None:
    page.get_by_label("fields.gpkg", exact=True).uncheck()
    page.get_by_role("button", name="Show polygon 3", exact=True).focus()
    page.keyboard.press("Enter")
    assert attributes(page)["id"] == "3"
    assert page.get_by_label("fields.gpkg", exact=True).is_checked()


def test_the_table_is_sorted_by_area_and_on_request_by_confidence(page: Page) -> None:
    first_cells = page.locator("#rows tbody tr td:first-child")
    assert first_cells.all_inner_texts() == ["6", "5", "4", "3", "2", "1"]
    page.get_by_role("button", name="confidence").click()
    assert first_cells.all_inner_texts() == ["2", "5", "1", "4", "6", "3"]
    head = page.locator("th[aria-sort]")
    assert (head.inner_text(), head.get_attribute("aria-sort")) == ("confidence", "descending")
    page.get_by_role("button", name="confidence").click()
    assert first_cells.first.inner_text() == "3"


def test_a_permalink_opens_its_place(page: Page, address: str) -> None:
    page.goto("about:blank")
    go_to(page, f"{address}#1.5/{FIFTH}")
    assert fragment(page) == f"#1.5/{FIFTH}"


def test_arrow_and_plus_keys_move_the_map(page: Page) -> None:
    before = place(page)
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("x => Number(location.hash.split('/')[1]) > x + 10", arg=before[1])
    page.keyboard.press("+")
    page.wait_for_function("zoom => Number(location.hash.slice(1).split('/')[0]) > zoom",
                           arg=before[0])  # fmt: skip


def test_text_of_files_stays_text(page: Page) -> None:
    assert page.title() == "scene.tif and 3 more"
    page.get_by_role("button", name="Show polygon 1", exact=True).click()
    assert attributes(page)["note"].startswith("</script><script>")
    assert page.locator("img[src=x]").count() == 0


def test_every_control_has_a_name(page: Page) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, button, select, a, [tabindex]")]
            .filter(it => !(it.getAttribute("aria-label") || it.getAttribute("aria-labelledby")
                || it.labels?.length || it.textContent.trim())).map(it => it.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("page", [PHONE], ids=["phone"], indirect=True)
def test_on_a_phone_nothing_is_cut_off(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    map_box = page.locator("#map").bounding_box()
    assert map_box is not None
    assert map_box["width"] == PHONE["width"]
    assert map_box["height"] > 300
    page.get_by_role("button", name="Show polygon 5", exact=True).tap()
    assert attributes(page)["id"] == "5"
    page.wait_for_timeout(400)
    popup = page.locator(".leaflet-popup-content-wrapper").bounding_box()
    assert popup is not None
    assert popup["x"] >= 0
    assert popup["y"] >= 0
    assert popup["x"] + popup["width"] <= PHONE["width"]
    assert popup["y"] + popup["height"] <= map_box["height"]
