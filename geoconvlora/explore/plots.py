"""Maps in matplotlib, with scale bar, legend and the classes' colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from geoconvlora.errors import BandError, LabelError
from geoconvlora.explore.axes import draw_pixels, frame, map_axes, shown_bounds
from geoconvlora.explore.changes import NOTHING, UNCHANGED, Change
from geoconvlora.explore.colours import classes_rgba, probability_rgba, scene_rgba
from geoconvlora.explore.legend import Legend
from geoconvlora.explore.opening import (
    MAX_SIDE,
    open_classes,
    open_polygons,
    open_probabilities,
    open_scene,
)
from geoconvlora.explore.rows import Map, geobox_of, opened
from geoconvlora.vector.styles import PALETTE

_MOST_KEYS = 12
_WIDE = 64
"""Letters that a row of a legend has room for."""
_BESIDE: dict[str, Any] = {"fraction": 0.046, "pad": 0.02}
"""A colour scale about as high as a square map."""


def plot_scene(scene: Map, *, bands: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw an image, each band from its 2nd to its 98th percentile.

    Args:
        scene: A file, of which overviews are read, or a Dataset with ``scene``, all of which is.
        bands: Names of three bands or of one; None: red, green and blue where there are such.
        ax: Where; None: new axes.

    Raises:
        SceneError: The file cannot be read.
        BandError: It has no such bands.

    Example:
        >>> from geoconvlora import explore
        >>> explore.plot_scene("scene.tif", bands=["nir", "red", "green"])  # doctest: +SKIP
    """
    array = _shown(opened(scene, "scene", partial(open_scene, max_side=MAX_SIDE)))
    image = scene_rgba(array, bands)
    ax = map_axes(ax)
    draw_pixels(ax, image, array)
    return ax


def plot_classes(classes: Map, *, alpha: float = 1.0, ax: Axes | None = None) -> Axes:
    """Draw classes in their colours, with a legend of those that occur.

    Args:
        classes: A file, of which overviews are read, or a Dataset with ``classes``.
        alpha: Opacity, to draw over a scene.
        ax: Where; None: new axes.

    Raises:
        SceneError: The file cannot be read.
        BandError: It holds no classes.

    Example:
        >>> from geoconvlora import explore
        >>> explore.plot_classes("classes.tif")  # doctest: +SKIP
    """
    array = _shown(opened(classes, "classes", partial(open_classes, max_side=MAX_SIDE)))
    legend = Legend.of_attributes(array.attrs, str(array.name))
    found = set(np.unique(array.values).tolist()) - {array.attrs.get("_FillValue", NOTHING)}
    ax = map_axes(ax)
    draw_pixels(ax, classes_rgba(array), array, alpha=alpha, interpolation="nearest")
    _legend(ax, legend.only(found).by_name, alpha)
    return ax


def plot_probability(probabilities: Map, name: str, *, ax: Axes | None = None) -> Axes:
    """Draw the probability of one class, from 0 to 1.

    Args:
        probabilities: A file, of which overviews are read, or a Dataset with ``probabilities``.
        name: Of the class.
        ax: Where; None: new axes.

    Raises:
        SceneError: The file cannot be read.
        BandError: It has no such class.

    Example:
        >>> from geoconvlora import explore
        >>> explore.plot_probability("probs.tif", "field")  # doctest: +SKIP
    """
    opener = partial(open_probabilities, max_side=MAX_SIDE)
    array = opened(probabilities, "probabilities", opener)
    names = [str(each) for each in array["class"].values]
    if name not in names:
        raise BandError(f"there is no class {name!r}: choose of {', '.join(names)}")
    chance = _shown(array.isel({"class": names.index(name)}))
    ax = map_axes(ax)
    draw_pixels(ax, probability_rgba(chance), chance)
    from matplotlib.cm import ScalarMappable

    scale = ScalarMappable(cmap="viridis")
    scale.set_clim(0, 1)
    ax.figure.colorbar(scale, ax=ax, label=f"P({name})", **_BESIDE)
    return ax


def plot_polygons(
    polygons: gpd.GeoDataFrame | str | Path,
    *,
    column: str | None = None,
    colors: Mapping[str, str] | None = None,
    alpha: float = 1.0,
    crs: object = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw polygons: outlines, or filled by a column.

    Args:
        polygons: A GeoDataFrame, or a vector file.
        column: Numbers get a colour scale, anything else a legend; None: outlines alone.
        colors: ``#rrggbb`` by value of such a column; those without get one of their own.
        alpha: Opacity of what is filled.
        crs: Of the axes, to draw over a raster; None: the polygons' own.
        ax: Where; None: new axes. Axes that show something keep their extent.

    Raises:
        LabelError: The file cannot be read, or there is no such column.

    Example:
        >>> from geoconvlora import explore
        >>> explore.plot_polygons("fields.gpkg", column="area_m2")  # doctest: +SKIP
    """
    frame_of = polygons if isinstance(polygons, gpd.GeoDataFrame) else open_polygons(polygons)
    if column is not None and column not in frame_of.columns:
        listed = ", ".join(str(c) for c in frame_of.columns if c != frame_of.geometry.name)
        raise LabelError(f"the polygons have no column {column!r}: they have {listed}")
    if crs is not None:
        frame_of = frame_of.to_crs(crs)
    empty = ax is None or not ax.has_data()
    ax = map_axes(ax)
    before = ax.get_xlim(), ax.get_ylim()
    if column is None:
        frame_of.plot(ax=ax, facecolor="none", edgecolor="#ffe100", linewidth=0.8, aspect=None)
    elif frame_of[column].dtype.kind in "iuf":
        frame_of.plot(
            ax=ax,
            column=column,
            cmap="viridis",
            legend=True,
            legend_kwds={"label": column, **_BESIDE},
            edgecolor="white",
            linewidth=0.2,
            alpha=alpha,
            aspect=None,
        )
    else:
        values = frame_of[column].astype(str)
        names = sorted(set(values))
        chosen = {n: (colors or {}).get(n, PALETTE[i % len(PALETTE)]) for i, n in enumerate(names)}
        fill = [chosen[value] for value in values]
        frame_of.plot(
            ax=ax, color=fill, edgecolor="#444444", linewidth=0.3, alpha=alpha, aspect=None
        )
        _legend(ax, chosen, alpha)
    ax.set_xlabel("")
    ax.set_ylabel("")
    if empty:
        bounds = shown_bounds(np.asarray(frame_of.geometry.array, object))
        frame(ax, bounds, pyproj.CRS(frame_of.crs))
    else:
        ax.set_xlim(before[0])
        ax.set_ylim(before[1])
    return ax


def plot_change(change: Change, *, most: int = 6, ax: Axes | None = None) -> Axes:
    """Draw where the class is another one, the largest transitions in colours of their own.

    Args:
        change: Of :func:`geoconvlora.explore.change`.
        most: Transitions with a colour, eight at most; all others share one.
        ax: Where; None: new axes.

    Example:
        >>> from geoconvlora import explore
        >>> explore.plot_change(explore.change("2018.tif", "2024.tif"))  # doctest: +SKIP
    """
    array = change.map["change"]
    table = np.zeros((2**16, 4), np.uint8)
    table[:, :] = (*bytes.fromhex("555555"), 255)
    table[UNCHANGED] = (*bytes.fromhex("e8e8e8"), 255)
    table[NOTHING] = 0
    largest = change.transitions()
    keys = {"unchanged": "#e8e8e8"}
    for row, color in zip(largest[:most].itertuples(), PALETTE, strict=False):
        table[row.value, :3] = list(bytes.fromhex(color[1:]))
        keys[f"{row.before} → {row.after}, {row.area_m2 / 1e4:,.1f} ha"] = color
    if len(largest) > len(keys) - 1:
        rest = largest.area_m2[len(keys) - 1 :].sum()
        keys[f"other changes, {rest / 1e4:,.1f} ha"] = "#555555"
    ax = map_axes(ax)
    draw_pixels(ax, table[array.values], array, interpolation="nearest")
    _legend(ax, keys, 1.0)
    return ax


def plot_transitions(change: Change, *, ax: Axes | None = None) -> Axes:
    """Draw the matrix of transitions in hectares; shades are shares of each row.

    Args:
        change: Of :func:`geoconvlora.explore.change`.
        ax: Where; None: new axes.

    Example:
        >>> from geoconvlora import explore
        >>> explore.plot_transitions(explore.change("2018.tif", "2024.tif"))  # doctest: +SKIP
    """
    hectares = change.area_m2.to_numpy() / 1e4
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.nan_to_num(hectares / hectares.sum(axis=1, keepdims=True))
    ax = map_axes(ax)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    names = list(change.area_m2.index)
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("after")
    ax.set_ylabel("before")
    for row, column in np.ndindex(*hectares.shape):
        ink = "white" if share[row, column] > 0.5 else "#222222"
        text = f"{hectares[row, column]:,.1f}"
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
    ax.set_title("hectares")
    return ax


def _shown(array: xr.DataArray) -> xr.DataArray:
    """Every n-th pixel of what is larger than a screen."""
    y, x = array.odc.spatial_dims
    step = -(-max(geobox_of(array).shape) // MAX_SIDE)
    return array if step <= 1 else array.isel({d: slice(step // 2, None, step) for d in (y, x)})


def _legend(ax: Axes, colors: Mapping[str, str], alpha: float) -> None:
    keys = [Patch(facecolor=color, alpha=alpha, label=name) for name, color in colors.items()]
    if not keys:
        return
    more = len(keys) - _MOST_KEYS
    if more > 0:
        keys = [*keys[:_MOST_KEYS], Patch(alpha=0, label=f"and {more} more")]
    ax.legend(
        handles=keys,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=max(
            1, min(3, len(keys), _WIDE // max(len(str(key.get_label())) + 6 for key in keys))
        ),
        fontsize=8,
        frameon=False,
    )
