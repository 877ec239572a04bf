"""A hook of MkDocs: fills the page of models from the cards in the bundled model files."""

from __future__ import annotations

from typing import Any

from geoconvlora.weights import read_card
from geoconvlora.weights.card import ModelCard
from geoconvlora.weights.catalogue import bundled_models

MARK = "<!-- model cards -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the cards where the page has the mark."""
    if MARK not in markdown:
        return markdown
    cards = [
        as_markdown(read_card(path), path.stat().st_size)
        for path in sorted(bundled_models().values())
    ]
    return markdown.replace(MARK, "\n\n".join(cards))


def as_markdown(card: ModelCard, size_bytes: int) -> str:
    """Return a section on one model.

    Example:
        >>> print(as_markdown(read_card("fields"), 1_700_000).splitlines()[0])
        ## `fields`
    """
    resolution = card.resolution
    bands = ", ".join(band.name for band in card.bands)
    rows = {
        "task": card.task,
        "classes": ", ".join(f"{each.id} {each.name}" for each in card.classes),
        "bands": bands,
        "scaling": card.scaling.kind,
        "pixel size": (f"made for {resolution.gsd_m:g} m, " if resolution.gsd_m else "")
        + f"takes {resolution.min_gsd_m:g} to {resolution.max_gsd_m:g} m"
        + (f", enlarged {resolution.max_zoom_in} times at most" if resolution.max_zoom_in else ""),
        "tile": f"{card.tile_size} x {card.tile_size} pixels"
        + "".join(f", and reduced {n} times" for n in card.reductions[1:])
        + {
            "none": "",
            "flips": ", the mean of four mirrored views",
            "d4": ", the mean of eight views",
        }[card.views],
        "maps in": {"bf16": "bfloat16 where hardware has units for it", "32": "32 bits"}[
            card.precision
        ],
        "method": f"{card.method} ({_listed(card.method_settings)})" if card.method else "none",
        "base weights": f"{card.base.name} ({card.base.size})" if card.base else "none",
        "size of the file": f"{size_bytes / 1e6:.1f} MB",
        "licence": card.licence,
    }
    record = card.training
    lines = [f"## `{card.name}`", "", card.description, "", f"**Limits.** {card.limits}", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()), ""]
    lines += ["**Trained on**", "", *(f"- {line}" for line in record.data), ""]
    if record.metrics:
        lines += ["**On its validation part**", "", "| score | value |", "|---|---|"]
        lines += [f"| {name} | {value:.3f} |" for name, value in record.metrics.items()]
    return "\n".join(lines)


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
