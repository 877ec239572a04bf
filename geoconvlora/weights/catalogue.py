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
    """The folder for weights that are not bundled: ``$GEOCONVLORA_HOME/weights`` or the cache."""
    home = os.environ.get("GEOCONVLORA_HOME")
    return (Path(home) if home else user_cache_path("geoconvlora")) / "weights"


def bundled_models() -> dict[str, Path]:
    """Names and files of the models that come with the package."""
    return {p.stem: p for p in sorted((BUNDLED / "models").glob("*.safetensors"))}


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
    """

    name: str
    size: str
    bytes: int
    present: bool
    licence: str


def base_header(path: Path) -> dict[str, Any]:
    """What a base of ours says of itself; empty for a file that is none. Reads no tensor."""
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get(BASE_KEY, "{}"))
    except (SafetensorError, OSError, ValueError):
        return {}
    return header if isinstance(header, dict) else {}


def known_bases() -> list[KnownBase]:
    """Bundled base weights, then Meta's."""
    ours = []
    for name, path in bundled_bases().items():
        about = base_header(path)
        ours.append(
            KnownBase(name, about["size"], path.stat().st_size, True, about.get("licence", ""))
        )
    theirs = []
    for weights in OFFICIAL.values():
        path = weights_home() / weights.name
        present = path.is_file()
        size = path.stat().st_size if present else weights.megabytes * 2**20
        theirs.append(KnownBase(weights.name, weights.size, size, present, weights.licence))
    return ours + theirs


def find_model(name: str | Path) -> Path:
    """Resolve a bundled model's name or a path to a model file.

    A path may also be a folder, as other libraries write them.

    Raises:
        ModelFileError: There is neither.
    """
    bundled = bundled_models()
    if str(name) in bundled:
        return bundled[str(name)]
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        raise ModelFileError(
            f"{path} is a folder without config.json: give a model file, or a folder as "
            "segmentation-models-pytorch saves networks"
        )
    if not path.exists():
        raise ModelFileError(
            f"{name}: no such model file, and no bundled model of that name "
            f"(bundled: {', '.join(bundled) or 'none'})"
        )
    return path


def find_base(name: str | Path) -> Path:
    """Resolve base weights: a bundled or official name, or a path.

    Raises:
        WeightsError: They are not there.
    """
    bundled = bundled_bases()
    if str(name) in bundled:
        return bundled[str(name)]
    for path in (Path(name), weights_home() / Path(name).name):
        if path.is_file():
            return path
    where = f" or put the file into {weights_home()}" if Path(name).name in OFFICIAL else ""
    raise WeightsError(
        f"base weights {name} are not on this computer: give the path of the file with "
        f"--base{where}; known names: {', '.join([*bundled, *OFFICIAL])}"
    )


def sha256_of(path: Path) -> str:
    """The file's sha256, as hexadecimal digits; computed once per state of the file."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=32)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
