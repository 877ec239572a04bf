from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer

from geoconvlora.errors import WeightsError
from geoconvlora.weights.download import Patience, download

HASTY = Patience(attempts=2, pause_s=0.0, silence_s=5.0)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fetch(server: FileServer, path: Path, sha256: str | None = None) -> str:
    return download(server.url, path, sha256=sha256 or digest(server.content)[:6], patience=HASTY)


def left_behind(path: Path) -> list[str]:
    """What is beside the file, but its lock."""
    return sorted(p.name for p in path.parent.iterdir() if p != path and p.suffix != ".lock")


def test_the_file_is_the_servers_and_its_whole_sha256_is_returned(server, tmp_path) -> None:
    path = tmp_path / "new" / "folder" / "file.pth"
    assert fetch(server, path) == digest(server.content)
    assert path.read_bytes() == server.content
    assert left_behind(path) == []


def test_a_file_that_is_there_is_not_fetched(server, tmp_path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(server.content)
    fetch(server, path)
    assert server.requests == []


def test_a_damaged_file_that_is_there_is_refused_and_kept(server, tmp_path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"file\.pth has the sha256 .* damaged or another"):
        fetch(server, path)
    assert path.read_bytes() == b"damaged"


def test_a_broken_connection_is_gone_on_with(server, tmp_path) -> None:
    server.break_after = [1_000_000, 2_000_000]
    path = tmp_path / "file.pth"
    fetch(server, path)
    assert path.read_bytes() == server.content
    starts = [int(wanted[6:-1]) for wanted in server.requests if wanted]
    # What did not fill a chunk is fetched again.
    assert np.allclose(starts, [1_000_000, 3_000_000], atol=2 * 2**16)


def test_a_later_call_goes_on_where_the_server_gave_up(server, tmp_path) -> None:
    path = tmp_path / "file.pth"
    server.break_after = [1_000_000, 0, 0]
    with pytest.raises(WeightsError, match=r"closed early.*are kept"):
        fetch(server, path)
    assert not path.exists()
    seen = len(server.requests)
    fetch(server, path)
    assert server.requests[seen:] != [None]
    assert path.read_bytes() == server.content


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path) -> None:
    path = tmp_path / "file.pth"
    server.break_after = [1_000_000, 0, 0]
    with pytest.raises(WeightsError):
        fetch(server, path)
    server.content, server.etag = b"another" * 100_000, '"second"'
    fetch(server, path)
    assert path.read_bytes() == server.content


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_tag_nothing_is_glued_together(server, tmp_path, etag) -> None:
    server.etag = etag
    server.break_after = [1_000_000]
    path = tmp_path / "file.pth"
    fetch(server, path)
    assert server.requests == [None, None]
    assert path.read_bytes() == server.content


def test_a_server_without_ranges_sends_all_again(server, tmp_path) -> None:
    server.ranges = False
    server.break_after = [1_000_000]
    path = tmp_path / "file.pth"
    fetch(server, path)
    assert path.read_bytes() == server.content


def test_a_part_longer_than_the_file_is_forgotten(server, tmp_path) -> None:
    part = tmp_path / ".file.pth.part"
    part.write_bytes(server.content + b"more")
    part.with_name(f"{part.name}.etag").write_text('"first"')
    path = tmp_path / "file.pth"
    fetch(server, path)
    assert path.read_bytes() == server.content


def test_an_overloaded_server_is_asked_again(server, tmp_path) -> None:
    server.status = [503]
    fetch(server, tmp_path / "file.pth")
    assert len(server.requests) == 2


def test_a_missing_file_is_said_at_once(server, tmp_path) -> None:
    server.status = [404] * 9
    with pytest.raises(WeightsError, match=r"file\.pth is not to be had: the server answers 404"):
        fetch(server, tmp_path / "file.pth")
    assert len(server.requests) == 1


def test_another_file_than_promised_is_not_kept(server, tmp_path) -> None:
    path = tmp_path / "file.pth"
    with pytest.raises(WeightsError, match="does not begin with 0123abcd"):
        fetch(server, path, "0123abcd")
    assert not path.exists()
    assert left_behind(path) == []


def test_a_silent_server_is_given_up(server, tmp_path) -> None:
    server.pause_s = 1.0
    patience = Patience(attempts=2, pause_s=0.0, silence_s=0.1)
    with pytest.raises(WeightsError, match="silent for too long"):
        download(server.url, tmp_path / "file.pth", sha256="", patience=patience)


def test_no_server_is_one_clear_error(server, tmp_path) -> None:
    with pytest.raises(WeightsError, match="no connection"):
        download("http://127.0.0.1:9/file.pth", tmp_path / "file.pth", sha256="", patience=HASTY)


def test_too_little_room_is_said_before_a_byte_is_written(server, tmp_path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000))
    with pytest.raises(WeightsError, match="has room for 0 MB, and 5 MB are to come"):
        fetch(server, tmp_path / "file.pth")
    assert left_behind(tmp_path / "file.pth") == []


def test_a_full_disk_is_one_clear_error(server, tmp_path) -> None:
    (tmp_path / ".file.pth.part").symlink_to("/dev/full")
    with pytest.raises(WeightsError, match="no room is left"):
        fetch(server, tmp_path / "file.pth")


def test_plain_http_from_elsewhere_is_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match="by https only"):
        download("http://example.org/file.pth", tmp_path / "file.pth", sha256="")


def test_two_at_once_fetch_once(server, tmp_path) -> None:
    server.pause_s = 0.2
    path = tmp_path / "file.pth"
    both = [threading.Thread(target=fetch, args=(server, path)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert path.read_bytes() == server.content
    assert len(server.requests) == 1


def test_progress_ends_at_the_whole_file(server, tmp_path) -> None:
    told: list[tuple[int, int | None]] = []
    download(
        server.url,
        tmp_path / "file.pth",
        sha256="",
        progress=lambda done, total: told.append((done, total)),
    )
    size = len(server.content)
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
