"""The HTML file: Leaflet, our style and script, and the layers, all in one."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from typing import Any

from geoconvlora.explore.page.grid import PageGrid

_ASSETS = files("geoconvlora.explore.page") / "assets"
_BREAKING = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def document(title: str, grid: PageGrid, layers: list[dict[str, Any]], notes: list[str]) -> bytes:
    """Return the page.

    A content security policy forbids every request and every script but its own, so neither a
    file's name nor an attribute can make it do anything.

    Args:
        title: Of the page.
        grid: Of the map.
        layers: From :mod:`geoconvlora.explore.page.layers`, the lowest first.
        notes: What was reduced.
    """
    scripts = [_unmapped(_asset("leaflet/leaflet.js")), _asset("page.js")]
    styles = [_asset("leaflet/leaflet.css"), _asset("page.css")]
    policy = (
        f"default-src 'none'; img-src data:; script-src {_hashes(scripts)}; "
        f"style-src {_hashes(styles)}; base-uri 'none'; form-action 'none'"
    )
    content = {
        "crs": grid.crs_name,
        "bounds": grid.bounds,
        "unit": grid.unit,
        "metres": grid.metres,
        "layers": layers,
        "notes": notes,
    }
    values = {
        "title": html.escape(title),
        "policy": html.escape(policy),
        "leaflet_licence": _asset("leaflet/LICENSE").replace("--", "- -"),
        "leaflet_style": styles[0],
        "style": styles[1],
        "content": as_json(content),
        "leaflet_script": scripts[0],
        "script": scripts[1],
    }
    filled = re.sub(r"\{\{ (\w+) \}\}", lambda match: values[match[1]], _asset("page.html"))
    return filled.encode()


def as_json(content: Any) -> str:
    r"""JSON that may stand inside of a ``script`` element.

    Example:
        >>> as_json("</script>")
        '"\\u003c/script\\u003e"'
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate, which a damaged text can hold, has no UTF-8.
    return text.translate(_BREAKING).encode("utf-8", "replace").decode()


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _unmapped(script: str) -> str:
    """Without the address of a source map, which developer tools would ask for."""
    return re.sub(r"\n//# sourceMappingURL=\S+", "", script)


def _hashes(texts: list[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
