from __future__ import annotations

import pytest

from geoconvlora.errors import BandError
from geoconvlora.scenes.bands import BandLabel, choose_bands, role_of

RGB = ("red", "green", "blue")


def labels(*said: str, colors: tuple[str, ...] | None = None) -> list[BandLabel]:
    colors = colors or ("undefined",) * len(said)
    both = zip(said, colors, strict=True)
    return [BandLabel(i, s, c, "uint16") for i, (s, c) in enumerate(both, start=1)]


@pytest.mark.parametrize(
    ("said", "role"),
    [
        ("Red", "red"),
        ("B04", "red"),
        ("B4 red", "red"),
        ("B08 - NIR", "nir"),
        ("Near-infrared", "nir"),
        ("Red edge 1", "rededge"),
        ("rededge", "rededge"),
        ("short wave", None),
        ("Shortwave infrared 1", "swir"),
        ("B4", None),
        ("infrared", None),
        ("reduced", None),
        ("", None),
    ],
)
def test_role_of_a_name(said: str, role: str | None) -> None:
    assert role_of(said) == role


def test_as_many_bands_as_wanted_are_taken_in_order_whatever_their_names() -> None:
    assert choose_bands(labels("B8", "c", "x"), RGB, None, "s.tif") == (1, 2, 3)


def test_alpha_is_not_counted() -> None:
    four = labels("", "", "", "", colors=("red", "green", "blue", "alpha"))
    assert choose_bands(four, RGB, None, "s.tif") == (1, 2, 3)
    assert choose_bands(four, None, None, "s.tif") == (1, 2, 3)


def test_descriptions_choose_among_more() -> None:
    sentinel2 = labels("B02", "B03", "B04", "B05", "B08")
    assert choose_bands(sentinel2, RGB, None, "s.tif") == (3, 2, 1)
    assert choose_bands(sentinel2, ("nir", "red", "green"), None, "s.tif") == (5, 3, 2)


def test_colour_interpretation_chooses_among_more() -> None:
    bgrn = labels("", "", "", "", colors=("blue", "green", "red", "undefined"))
    assert choose_bands(bgrn, RGB, None, "s.tif") == (3, 2, 1)


def test_description_counts_before_colour() -> None:
    wrong_colors = labels("blue", "green", "red", "nir", colors=("red", "green", "blue", "gray"))
    assert choose_bands(wrong_colors, RGB, None, "s.tif") == (3, 2, 1)


def test_exact_name_matches() -> None:
    radar = labels("VV", "VH", "angle")
    assert choose_bands(radar, ("vh", "vv"), None, "s.tif") == (2, 1)


@pytest.mark.parametrize(
    "said", [("red", "red", "green", "blue"), ("a", "b", "c", "d"), ("red", "green", "nir", "swir")]
)
def test_ambiguous_bands_are_listed_and_asked_for(said: tuple[str, ...]) -> None:
    with pytest.raises(BandError, match=rf"wants 3.*--bands.*2 \({said[1]}, uint16\)"):
        choose_bands(labels(*said), RGB, None, "s.tif")


@pytest.mark.parametrize(
    ("wanted", "example"),
    [
        (RGB, "red, green, blue (mostly --bands 4,3,2 for a Sentinel-2 stack, 3,2,1 for one that"),
        (("nir", "red", "green"), "nir, red, green (mostly --bands 8,4,3 for"),
    ],
)
@pytest.mark.parametrize("count", [10, 13])
def test_unnamed_sentinel2_stack_gets_its_example(count: int, wanted, example: str) -> None:
    gray = ("gray", *["undefined"] * (count - 1))
    with pytest.raises(BandError) as refusal:
        choose_bands(labels(*[""] * count, colors=gray), wanted, None, "s.tif")
    assert f"with --bands, in the order {example}" in str(refusal.value)
    assert "1 (gray, uint16); 2 (unnamed, uint16); " in str(refusal.value)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (("", "", "", ""), RGB),
        (tuple(f"layer {i}" for i in range(13)), RGB),
        (("",) * 13, ("vv", "vh")),
    ],
)
def test_no_example_is_given_where_it_would_be_a_guess(said, wanted) -> None:
    with pytest.raises(BandError) as refusal:
        choose_bands(labels(*said), wanted, None, "s.tif")
    assert f"with --bands, in the order {', '.join(wanted)}. The scene" in str(refusal.value)


def test_many_bands_are_not_all_listed() -> None:
    with pytest.raises(BandError, match=r"40 \(unnamed, uint16\); and 184 more$"):
        choose_bands(labels(*[""] * 224), RGB, None, "s.tif")


def test_too_few_bands_are_refused() -> None:
    with pytest.raises(BandError, match=r"s.tif has 1 band; the model wants 3"):
        choose_bands(labels("gray"), RGB, None, "s.tif")


def test_asked_bands_are_taken_as_they_are() -> None:
    assert choose_bands(labels("a", "b"), RGB, (2, 2, 1), "s.tif") == (2, 2, 1)


@pytest.mark.parametrize("asked", [(1, 2), (1, 2, 3, 1)])
def test_wrong_number_of_asked_bands_is_refused(asked: tuple[int, ...]) -> None:
    with pytest.raises(BandError, match="--bands names"):
        choose_bands(labels("a", "b", "c"), RGB, asked, "s.tif")


@pytest.mark.parametrize("band", [0, 4, -1])
def test_band_that_is_not_there_is_refused(band: int) -> None:
    with pytest.raises(BandError, match=f"no band {band}"):
        choose_bands(labels("a", "b", "c"), None, (1, band), "s.tif")


def test_only_alpha_is_refused() -> None:
    with pytest.raises(BandError, match="no band but alpha"):
        choose_bands(labels("", colors=("alpha",)), None, None, "s.tif")


def test_as_many_bands_as_wanted_are_taken_by_name_where_names_are_plain() -> None:
    turned = labels("blue", "green", "red", colors=("gray", "undefined", "undefined"))
    assert choose_bands(turned, RGB, None, "s.tif") == (3, 2, 1)
    assert choose_bands(labels("a", "b", "c"), RGB, None, "s.tif") == (1, 2, 3)


def test_bands_read_by_position_against_their_descriptions_are_told() -> None:
    with pytest.warns(UserWarning, match=r"red = 1 \(nir\), green = 2 \(red\), blue = 3 .*--bands"):
        assert choose_bands(labels("nir", "red", "green"), RGB, None, "s.tif") == (1, 2, 3)


@pytest.mark.parametrize(
    ("said", "colors"),
    [
        (("", "", ""), ("red", "green", "blue")),
        (("nir", "swir", "pan"), None),
        (("B4", "B3", "B2"), None),
        (("red", "green", "x"), None),
    ],
)
def test_bands_read_by_position_that_no_description_contradicts_are_not_told(said, colors) -> None:
    found = choose_bands(labels(*said, colors=colors), ("red", "green", "nir2"), None, "s.tif")
    assert found == (1, 2, 3)


def test_bands_asked_for_against_their_descriptions_are_not_told() -> None:
    assert choose_bands(labels("nir", "red", "green"), RGB, (1, 2, 3), "s.tif") == (1, 2, 3)
