from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class FileServer:
    """One file on a loopback server, and the server's faults."""

    content: bytes = b""
    etag: str | None = '"first"'
    ranges: bool = True
    status: list[int] = field(default_factory=list)
    """Answers to the next requests, instead of the file."""
    break_after: list[int] = field(default_factory=list)
    """Bytes that the next answers hold before the connection is closed."""
    pause_s: float = 0.0
    """Before the file's bytes."""
    requests: list[str | None] = field(default_factory=list)
    """The ``Range`` of each request."""
    url: str = ""
