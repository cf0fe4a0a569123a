"""A server on this computer for files of a folder, and for the few routes of the Hugging Face Hub that models need."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "somebody/heads"


@dataclass
class Server:
    """What it serves and how; it may be changed while it runs.

    Attributes:
        folder: of the files.
        asked: paths that were asked for, with their method.
        answers: path -> (status, headers, body) instead of a file's.
        large: whether the hub keeps files by sha256 (LFS), else by git's hash.
    """

    folder: Path
    commit: str = COMMIT
    large: bool = True
    asked: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    stop: Callable[[], None] = lambda: None
    address: str = ""

    def siblings(self) -> list[dict[str, Any]]:
        """The hub's list of a repository's files."""
        return [self._sibling(path) for path in sorted(self.folder.rglob("*")) if path.is_file()]

    def _sibling(self, path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        said: dict[str, Any] = {"rfilename": str(path.relative_to(self.folder)), "size": len(content)}
        said["blobId"] = git_hash(content)
        if self.large:
            said["lfs"] = {"sha256": sha(content), "size": len(content), "pointerSize": 134}
        return said

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a path."""
        if path in self.answers:
            return self.answers[path]
        if path.startswith(f"/api/models/{REPOSITORY}"):
            revision = path.partition("/revision/")[2] or "main"
            if revision not in ("main", self.commit):
                return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
            said = {"id": REPOSITORY, "sha": self.commit, "siblings": self.siblings()}
            return 200, {"Content-Type": "application/json"}, json.dumps(said).encode()
        if path.startswith("/api/"):
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        file = self.folder / path.removeprefix(f"/{REPOSITORY}/resolve/{self.commit}").lstrip("/")
        if not file.is_file():
            return 404, {"X-Error-Code": "EntryNotFound"}, b"nothing here"
        content = file.read_bytes()
        etag = sha(content) if self.large else git_hash(content)
        return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": self.commit}, content


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server for this folder while the block runs, or until it is stopped."""
    server = Server(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            server.asked.append(f"{self.command} {path}")
            status, headers, body = server.answer(path)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                if value:  # an empty one leaves it out
                    self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.address = f"http://127.0.0.1:{http.server_port}"

    def stop() -> None:
        http.shutdown()
        http.server_close()
        thread.join()

    server.stop = stop
    try:
        yield server
    finally:
        if thread.is_alive():
            stop()
