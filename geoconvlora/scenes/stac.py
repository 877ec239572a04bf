"""STAC items on disk: which scenes they hold, and their bands as one raster.

What such a file names is not trusted: assets lie in the item's folder or below it. Only an item
that is named ``stac+remote:item.json`` may send the program to the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoconvlora.errors import SceneError
from geoconvlora.scenes.remote import is_remote

#: Before the name of an item whose assets may be on the network.
REMOTE_PREFIX = "stac+remote:"
_MAX_BYTES = 2**26
_MAX_ITEMS = 100_000
_RASTER_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2")
_RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt")
_NO_DATA = frozenset({"thumbnail", "overview", "metadata", "visual"})


@dataclass(frozen=True)
class Asset:
    """A raster of an item.

    Attributes:
        key: Its name in the item.
        path: The file or URL, which may be opened.
        bands: Names of its bands, as far as the item tells them.
        jpeg2000: Whether it is that.
    """

    key: str
    path: str
    bands: tuple[str, ...]
    jpeg2000: bool


def is_stac(name: str) -> bool:
    """Return whether a name is that of a STAC file, or of an item in one: ``items.json#ID``."""
    file, _ = _parts(name)
    return file.suffix.lower() in {".json", ".geojson"} and file.is_file()


def scenes_of_stac(name: str) -> list[str]:
    """Return the names of the items in a STAC file, each a scene to open.

    Raises:
        SceneError: It is not STAC, or links to what lies outside its folder.
    """
    file, wanted = _parts(name)
    if wanted is not None:
        return [name]
    prefix = REMOTE_PREFIX if name.startswith(REMOTE_PREFIX) else ""
    found = [prefix + each for each in _items(file, file.parent.resolve(), set())]
    if not found:
        raise SceneError(f"{name} holds no STAC item")
    return found


def assets_of(name: str) -> list[Asset]:
    """Return the rasters with data of an item.

    They are the assets with the role ``data``, or where none has a role, all rasters but previews;
    of two forms of the same, the GeoTIFF.

    Raises:
        SceneError: It has none, or names what it must not.
    """
    file, wanted = _parts(name)
    item = _item(_read(file), wanted, name)
    assets = item.get("assets")
    if not isinstance(assets, dict):
        raise SceneError(f"{name} is a STAC item without assets")
    chosen = {key: one for key, one in assets.items() if _has_role(one, "data")}
    if not chosen:
        chosen = {key: one for key, one in assets.items() if _is_raster(one)}
    remote = name.startswith(REMOTE_PREFIX)
    found = [_asset(name, file, key, one, remote=remote) for key, one in sorted(chosen.items())]
    if not all(each.jpeg2000 for each in found):
        found = [each for each in found if not each.jpeg2000]
    if not found:
        raise SceneError(f"{name} is a STAC item without a raster of data")
    return found


def _parts(name: str) -> tuple[Path, str | None]:
    """The file, and the item in it where one is named."""
    text = name.removeprefix(REMOTE_PREFIX)
    if not Path(text).exists() and "#" in text:
        text, _, wanted = text.partition("#")
        return Path(text), wanted
    return Path(text), None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise SceneError(f"{file} is too large for a STAC file")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SceneError(f"{file} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{file} is not JSON: it is truncated or damaged") from error
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        raise SceneError(f"{file} is neither a STAC item nor a catalogue")
    return content


def _items(file: Path, root: Path, seen: set[Path]) -> Iterator[str]:
    """Names of items at and below a file, each file once."""
    resolved = file.resolve()
    if resolved in seen:
        return
    seen.add(resolved)
    if len(seen) > _MAX_ITEMS:
        raise SceneError(f"{file}: the catalogue has more than {_MAX_ITEMS:,} files")
    content = _read(file)
    kind = content["type"]
    if kind == "Feature" and "assets" in content:
        yield str(file)
    elif kind == "FeatureCollection":
        for feature in content.get("features") or []:
            if isinstance(feature, dict) and "assets" in feature:
                yield f"{file}#{feature.get('id')}"
    elif kind in {"Catalog", "Collection"}:
        for link in content.get("links") or []:
            if isinstance(link, dict) and link.get("rel") in {"child", "item"}:
                yield from _items(_inside(file, str(link.get("href")), root, "link"), root, seen)
    else:
        raise SceneError(
            f"{file} is neither a raster nor a STAC item, item collection or catalogue"
        )


def _item(content: Mapping[str, Any], wanted: str | None, name: str) -> Mapping[str, Any]:
    if wanted is None:
        return content
    features = content.get("features") or []
    found = [one for one in features if isinstance(one, dict) and str(one.get("id")) == wanted]
    if len(found) != 1:
        raise SceneError(f"{name}: {len(found)} items of the collection have this id")
    return found[0]


def _asset(name: str, file: Path, key: str, one: Any, *, remote: bool) -> Asset:
    href = one.get("href") if isinstance(one, dict) else None
    if not isinstance(href, str) or not href:
        raise SceneError(f"{name}: the asset {key!r} has no href")
    if is_remote(href) and not href.startswith("/vsi"):
        if not remote:
            raise SceneError(
                f"{name}: the asset {key!r} is on the network ({href}): to allow that, name the "
                f"item {REMOTE_PREFIX}{name}"
            )
        path = href
    else:
        path = str(_inside(file, href, file.parent.resolve(), f"asset {key!r}"))
    jpeg2000 = "jp2" in str(one.get("type")) or href.lower().endswith(".jp2")
    return Asset(key, path, _band_names(key, one), jpeg2000)


def _inside(file: Path, href: str, root: Path, what: str) -> Path:
    """A path from a file's content, which must lie below ``root``."""
    path = file.parent / href
    odd = Path(href).is_absolute() or "://" in href or href.startswith("/vsi") or "\0" in href
    if odd or not path.resolve().is_relative_to(root):
        raise SceneError(
            f"{file}: the {what} is {href}, outside the folder {root}: move it there, or name the "
            "raster itself"
        )
    if not path.is_file():
        raise SceneError(f"{file}: the {what} is {href}, which does not exist")
    return path.absolute()


def _has_role(one: Any, role: str) -> bool:
    return isinstance(one, dict) and role in (one.get("roles") or [])


def _is_raster(one: Any) -> bool:
    if not isinstance(one, dict) or any(_has_role(one, role) for role in _NO_DATA):
        return False
    href = str(one.get("href")).lower().partition("?")[0]
    return str(one.get("type")).lower().startswith(_RASTER_TYPES) or href.endswith(_RASTER_SUFFIXES)


def _band_names(key: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    """Common names, or names, of an asset's bands; of one that tells none, its key."""
    bands = one.get("eo:bands") or one.get("bands") or []
    names = []
    for band in bands if isinstance(bands, list) else []:
        told = band if isinstance(band, dict) else {}
        name = told.get("common_name") or told.get("eo:common_name") or told.get("name")
        names.append(str(name or key))
    return tuple(names) or (key,)
