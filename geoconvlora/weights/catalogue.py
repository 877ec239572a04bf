"""Where weights are found: bundled with the package, or in the user's weights folder."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open

from geoconvlora.errors import ModelFileError, WeightsError

BUNDLED = Path(__file__).parent / "bundled"

BASE_KEY = "geoconvlora-base"
"""Where a base's safetensors file says what it is."""


@dataclass(frozen=True)
class OfficialWeights:
    """A checkpoint that Meta publishes; its sha256 begins with its name's suffix."""

    name: str
    size: str
    megabytes: int
    licence: str = "Apache-2.0 (Meta AI, Segment Anything)"

    @property
    def url(self) -> str:
        """Where Meta publishes it (github.com/facebookresearch/segment-anything, README)."""
        return f"https://dl.fbaipublicfiles.com/segment_anything/{self.name}"

    @property
    def sha256_prefix(self) -> str:
        """The first digits of the file's sha256."""
        return Path(self.name).stem.rsplit("_", 1)[-1]


OFFICIAL: dict[str, OfficialWeights] = {
    w.name: w
    for w in (
        OfficialWeights("sam_vit_b_01ec64.pth", "vit_b", 358),
        OfficialWeights("sam_vit_l_0b3195.pth", "vit_l", 1192),
        OfficialWeights("sam_vit_h_4b8939.pth", "vit_h", 2446),
    )
}


def weights_home() -> Path:
    """Base weights that are not bundled: in ``$GEOCONVLORA_HOME`` or the user's cache."""
    return _home() / "weights"


def models_home() -> Path:
    """Models that the user registered: beside the base weights."""
    return _home() / "models"


def _home() -> Path:
    home = os.environ.get("GEOCONVLORA_HOME")
    return Path(home) if home else user_cache_path("geoconvlora")


def bundled_models() -> dict[str, Path]:
    """Names and files of the models that come with the package."""
    return {p.stem: p for p in sorted((BUNDLED / "models").glob("*.safetensors"))}


def registered_models() -> dict[str, Path]:
    """Names and files of the models that the user registered."""
    return {p.stem: p for p in sorted(models_home().glob("*.safetensors"))}


def registered_bases() -> dict[str, Path]:
    """Names and files of the base weights of ours that the user registered."""
    return {p.stem: p for p in sorted(weights_home().glob("*.safetensors"))}


def bundled_bases() -> dict[str, Path]:
    """Names and files of the base weights that come with the package."""
    return {p.stem: p for p in sorted((BUNDLED / "bases").glob("*.safetensors"))}


@dataclass(frozen=True)
class KnownBase:
    """Base weights that a model or a configuration can name.

    Attributes:
        name: Their name.
        size: The encoder's size.
        bytes: Size of the file, that of the published one where it is not present.
        present: Whether they are on this computer.
        licence: Their licence.
        url: Where ``models pull`` gets them; None for what it does not get.
    """

    name: str
    size: str
    bytes: int
    present: bool
    licence: str
    url: str | None = None


def base_header(path: Path) -> dict[str, Any]:
    """What a base of ours says of itself; empty for a file that is none. Reads no tensor."""
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get(BASE_KEY, "{}"))
    except (SafetensorError, OSError, ValueError):
        return {}
    return header if isinstance(header, dict) else {}


def known_bases() -> list[KnownBase]:
    """Bundled base weights, registered ones, then Meta's."""
    ours = []
    for name, path in (registered_bases() | bundled_bases()).items():
        about, size = base_header(path), path.stat().st_size
        ours.append(
            KnownBase(
                name, about.get("size", "?"), path.stat().st_size, True, about.get("licence", "")
            )
        )
    theirs = []
    for weights in OFFICIAL.values():
        path = weights_home() / weights.name
        present = path.is_file()
        size = path.stat().st_size if present else weights.megabytes * 2**20
        theirs.append(
            KnownBase(weights.name, weights.size, size, present, weights.licence, weights.url)
        )
    return ours + theirs


def find_model(name: str | Path) -> Path:
    """Resolve a bundled model's name, a path to a model file, or a registered model's name.

    A path may also be a folder, as other libraries write them.

    Raises:
        ModelFileError: There is none of them.
    """
    bundled = bundled_models()
    if str(name) in bundled:
        return bundled[str(name)]
    path = Path(name)
    if path.is_file() or (path / "config.json").is_file():
        return path
    registered = registered_models()
    if str(name) in registered:
        return registered[str(name)]
    if path.is_dir():
        raise ModelFileError(
            f"{path} is a folder without config.json: give a model file, or a folder as "
            "segmentation-models-pytorch saves networks"
        )
    raise ModelFileError(
        f"{name}: no such model file, and no model of that name "
        f"(known: {', '.join([*bundled, *registered]) or 'none'})"
    )


def find_base(name: str | Path) -> Path:
    """Resolve base weights: a bundled, registered or official name, or a path.

    Raises:
        WeightsError: They are not there.
    """
    bundled = bundled_bases()
    if str(name) in bundled:
        return bundled[str(name)]
    registered = registered_bases()
    for path in (Path(name), registered.get(str(name)), weights_home() / Path(name).name):
        if path is not None and path.is_file():
            return path
    official = Path(name).name
    fetch = ""
    if official in OFFICIAL:
        fetch = f", put it into {weights_home()}, or run: geoconvlora models pull {official}"
    raise WeightsError(
        f"base weights {name} are not on this computer: give the path of the file with "
        f"--base{fetch}; known names: {', '.join([*bundled, *registered, *OFFICIAL])}"
    )


def sha256_of(path: Path) -> str:
    """The file's sha256, as hexadecimal digits; computed once per state of the file."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


def sha256_of_model(path: Path) -> str:
    """A model file's sha256; of a folder, that of its files' names and digests."""
    if not path.is_dir():
        return sha256_of(path)
    files = sorted(p for p in path.iterdir() if p.is_file())
    listed = "".join(f"{sha256_of(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(listed.encode()).hexdigest()


@lru_cache(maxsize=32)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
