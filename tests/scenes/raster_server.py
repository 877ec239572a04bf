"""A server on this computer that gives files in ranges, counts requests, and fails when told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[["Handler", bytes], bool]
"""Answers a request for some bytes in its own way; False: the right answer is to be given."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.requests: list[str] = []
        self.fault: Fault | None = None
        self.released = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none."""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.server.folder / self.path.partition("?")[0].lstrip("/")
        span = self.headers.get("Range")
        self.server.requests.append(f"{self.command} {path.name} {span}")
        if not path.is_file():
            self.answer(404, b"")
            return
        content = path.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", span or "")
        if wanted is None:
            status, start, part = 200, 0, content
        else:
            start = int(wanted[1])
            stop = min(int(wanted[2]) + 1 if wanted[2] else len(content), len(content))
            status, part = 206, content[start:stop]
            if start >= len(content):
                self.answer(416, b"")
                return
        if self.server.fault is not None and self.server.fault(self, part):
            return
        ranges = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"}
        self.answer(status, part, **(ranges if status == 206 else {}))

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def sometimes(fault: Fault, numbers: Container[int]) -> Fault:
    """Let the requests of some numbers, counted from 1, go wrong."""
    seen = [0]

    def by_number(handler: Handler, part: bytes) -> bool:
        seen[0] += 1
        return seen[0] in numbers and fault(handler, part)

    return by_number


def unavailable(handler: Handler, part: bytes) -> bool:
    handler.answer(503, b"")
    return True


def broken_off(handler: Handler, part: bytes) -> bool:
    """Half of what was promised, then the line is cut."""
    handler.send_response(206)
    handler.send_header("Content-Length", str(len(part)))
    handler.send_header("Content-Range", f"bytes 0-{len(part) - 1}/{len(part)}")
    handler.end_headers()
    handler.wfile.write(part[: len(part) // 2])
    handler.wfile.flush()
    handler.close_connection = True
    return True


def silent(handler: Handler, part: bytes) -> bool:
    handler.server.released.wait(60)
    handler.close_connection = True
    return True
