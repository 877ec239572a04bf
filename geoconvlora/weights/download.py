"""One file from a server: resumed where it broke off, verified, and there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from geoconvlora.errors import WeightsError

if TYPE_CHECKING:
    from requests import Response

Progress = Callable[[int, int | None], None]
"""Told the bytes that are there, and how many there will be if the server says so."""

_CHUNK_BYTES = 2**16
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        attempts: Connections in a row that bring nothing before it is given up.
        pause_s: Between them; doubled each time.
        silence_s: Without a byte, after which a connection counts as broken.
    """

    attempts: int = 5
    pause_s: float = 1.0
    silence_s: float = 30.0


def download(
    url: str,
    path: Path,
    *,
    sha256: str,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> str:
    """Fetch ``url`` to ``path``; nothing is fetched if the file is there.

    What a broken download brought stays beside ``path`` and is gone on with, by this call and by
    the next. Two processes that want the same file wait for each other.

    Args:
        url: ``https``, or ``http`` on this computer.
        path: The file to make; its folder is made too.
        sha256: What the file must have, or the first digits of it.
        progress: See :data:`Progress`.
        patience: With the server.

    Returns:
        The file's whole sha256, in hexadecimal digits.

    Raises:
        WeightsError: The address is none, not safe or not there, the server gives up or sends
            another file, or there is no room.

    Example:
        >>> download(url, Path("sam_vit_b_01ec64.pth"), sha256="01ec64")  # doctest: +SKIP
        '01ec64d29a2fca3f0661936605ae66f8...'
    """
    _check_address(url)
    with _alone(path):
        if path.is_file():
            return verified(path, sha256)
        part = path.with_name(f".{path.name}.part")
        _fetch(url, part, progress or (lambda done, total: None), patience or Patience())
        try:
            found = verified(part, sha256)
        except WeightsError:
            _forget(part)
            raise WeightsError(
                f"{url} sent a file whose sha256 does not begin with {sha256}: it is not what its "
                "name promises, and was not kept"
            ) from None
        part.replace(path)
        _forget(part)
        return found


def verified(path: Path, sha256: str) -> str:
    """The file's whole sha256, if it begins with the digits given.

    Raises:
        WeightsError: It does not, or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None
    if not found.startswith(sha256):
        raise WeightsError(
            f"{path} has the sha256 {found[:16]}..., not {sha256}: it is damaged or another file; "
            "remove it and get it again"
        )
    return found


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file's lock, in its folder, which is made."""
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            yield
    except OSError as error:
        raise WeightsError(f"{path} cannot be written: {_reason(error, path)}") from None


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise WeightsError(
            f"{url} is no address ({error}): give one such as https://example.org/weights.pth"
        ) from None
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise WeightsError(f"{url}: weights are fetched by https only")


def _fetch(url: str, part: Path, progress: Progress, patience: Patience) -> None:
    """Bring ``part`` to its whole length."""
    import requests

    fruitless = 0
    while True:
        before = _length(part)
        try:
            if _go_on(url, part, progress, patience.silence_s):
                return
            reason = "the connection was closed early"
        except requests.RequestException as error:
            reason = _plain(error)
        fruitless = 0 if _length(part) > before else fruitless + 1
        if fruitless >= patience.attempts:
            raise WeightsError(
                f"{url} cannot be fetched ({reason}); {_length(part) / 2**20:.0f} MB are kept: "
                "the same command goes on from there"
            )
        time.sleep(patience.pause_s * 2 ** max(fruitless - 1, 0) if fruitless else 0)


def _go_on(url: str, part: Path, progress: Progress, silence_s: float) -> bool:
    """Fetch what is missing over one connection; whether the file is whole then."""
    import requests

    tag_file = _tag_file(part)
    start = _length(part)
    headers = {"Accept-Encoding": "identity"}
    if start and tag_file.is_file():
        # A file that changed meanwhile is sent whole.
        headers |= {"Range": f"bytes={start}-", "If-Range": tag_file.read_text()}
    with requests.get(url, headers=headers, stream=True, timeout=silence_s) as response:
        _check_address(response.url)
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            _forget(part)
            return False
        if response.status_code >= 500 or response.status_code == 429:
            raise requests.HTTPError(f"the server answers {response.status_code}")
        if response.status_code not in (200, 206):
            raise WeightsError(
                f"{url} is not to be had: the server answers {response.status_code} "
                f"{response.reason}"
            )
        again = response.status_code == 206
        start = start if again else 0
        total = _announced(response, start)
        if total is not None:
            _check_room(part, total - start)
        tag = response.headers.get("ETag", "")
        # A weak tag promises no equal bytes.
        if tag and not tag.startswith("W/"):
            tag_file.write_text(tag)
        else:
            tag_file.unlink(missing_ok=True)
        done = start
        with part.open("ab" if again else "wb") as file:
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    return total is None or done >= total


def _announced(response: Response, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _check_room(part: Path, wanted: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if wanted > free:
        raise WeightsError(
            f"{part.parent} has room for {free / 2**20:.0f} MB, and {wanted / 2**20:.0f} MB are to "
            "come: make room, or name another folder in GEOCONVLORA_HOME"
        )


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def _plain(error: Exception) -> str:
    """What went wrong, without the chain of classes that requests puts into its messages."""
    import requests

    # In the middle of a file requests calls a timeout a ConnectionError.
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "the server was silent for too long"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate cannot be verified"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was closed early"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)


def _reason(error: OSError, path: Path) -> str:
    if error.errno == errno.ENOSPC:
        return f"no room is left in {path.parent}; make room, and the same command goes on"
    return str(error)
