"""What every page of ours has: its quiet look, and a server that keeps to itself (Gradio 6).

Nothing is loaded from or sent to elsewhere, no path of the disk can be asked for, and errors are lines.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import os
import socket
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

from infer.photo.photo import MAX_MEGAPIXELS
from infer.photo.picture_file import most_bytes
from models.errors import PhotograftError
from models.reading import read_text

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from models.terminal import Say

_WAITING, _AT_ONCE = 32, 2  # events in the queue, and of one kind at a time
_CACHE = (600, 3600)  # s: how often files that were fetched are looked at, and how old they grow
_LONGEST_PASSWORD = 1024  # bytes
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
_HEADERS = {
    # Gradio's own page needs inline scripts; what matters is that none comes from elsewhere, and no request goes there.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def blocks(title: str, *, css: str = "", head: str = "") -> gr.Blocks:
    """A page to fill in a `with` block, and to hand to `serve`.

    Args:
        title: of the browser's tab.
        css: rules beside our theme.
        head: HTML for the page's head, such as a script for keys.
    """
    demo = gr.Blocks(title=title, analytics_enabled=False, delete_cache=_CACHE)
    demo.css, demo.head = css, head  # type: ignore[assignment]  # Gradio takes them when it launches
    return demo


def _theme() -> gr.themes.Base:
    """Greys with one quiet accent, and the system's fonts: Gradio's themes load theirs from elsewhere."""
    return gr.themes.Base(
        primary_hue="slate",
        secondary_hue="slate",
        neutral_hue="slate",
        radius_size="sm",
        font=_SANS,
        font_mono=_MONO,
    ).set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300")  # 4.5:1 at least


@contextlib.contextmanager
def told() -> Iterator[None]:
    """In an event: a PhotograftError of the block is one line on the page, without a traceback in the terminal."""
    try:
        yield
    except PhotograftError as error:
        raise gr.Error(str(error), print_exception=False) from error


def serve(
    demo: gr.Blocks,
    *,
    say: Say,
    host: str,
    port: int,
    auth: str | None = None,
    open_browser: bool = False,
) -> None:
    """Serve a page until Ctrl-C or SIGTERM, as `models.terminal.orderly` hands it on.

    Args:
        demo: from `blocks`.
        say: is told the address as soon as the page answers, and what another host than this computer's own means.
        host, port: to listen on.
        auth: USER:PASSWORD-FILE, asked for at the door; the file holds one line.
        open_browser: show the page in the user's browser.

    Raises:
        PhotograftError: the port is taken, the host is none of this computer's, or `auth` cannot be used.
    """
    pair = None if auth is None else read_auth(auth)
    _check_address(host, port)
    if not is_loopback(host):
        say(
            f"on {host}, everybody who reaches this computer can use the page and its processor, "
            "and photos travel unencrypted" + ("" if pair else ": --auth asks for a password")
        )
    try:
        _launch(demo, host=host, port=port, auth=pair)
        address = f"http://{_in_address(host)}:{port}/"
        say(f"the page is at {address} (Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(address)
        while demo.is_running:
            time.sleep(0.2)
    except KeyboardInterrupt:  # how a page ends
        pass
    finally:
        if demo.is_running:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            demo.server.config.timeout_graceful_shutdown = 1  # s: open pages hold their connection for ever
            demo.close(verbose=False)


def _launch(demo: gr.Blocks, *, host: str, port: int, auth: tuple[str, str] | None) -> None:
    """Start the server in a thread; every way in that the page itself does not need is closed."""
    for event in demo.fns.values():
        event.api_visibility = "private"
    demo.queue(max_size=_WAITING, default_concurrency_limit=_AT_ONCE, api_open=False)
    guards = [Middleware(_Guard)]
    if is_loopback(host):  # no page from elsewhere whose name is made to point here
        names = {"localhost", "127.0.0.1", "[::1]", host}
        guards.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=sorted(names)))
    try:
        demo.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port,
            auth=auth,
            theme=_theme(),
            css=demo.css,
            head=demo.head,
            show_error=True,
            max_file_size=most_bytes(MAX_MEGAPIXELS),
            quiet=True,
            prevent_thread_lock=True,
            inline=False,
            share=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None, "middleware": guards},
            _frontend=False,
        )
    except OSError as error:  # taken between our look and its
        raise _taken(port) from error


class _Guard:
    """Refuses Gradio's routes that fetch from elsewhere for a browser, and names what a browser may load."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        path = scope.get("path", "")
        refused = "/proxy=" in path or any(f"/file={kind}" in path for kind in ("http:", "https:"))
        answer = PlainTextResponse("not served here", status_code=403) if refused else self.app
        await answer(scope, receive, headed)


# ---------------------------------------------------------------------- the door


def is_loopback(host: str) -> bool:
    """Is it an address of this computer that no other one reaches?"""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def read_auth(text: str) -> tuple[str, str]:
    """User and password of USER:PASSWORD-FILE.

    Raises:
        PhotograftError: no such pair, or a file that is missing, empty, too large or of several lines.
    """
    user, _, name = text.partition(":")
    if not user or not name:
        raise PhotograftError(f"--auth {text}: give USER:PASSWORD-FILE")
    lines = read_text(Path(name), "password file", most=_LONGEST_PASSWORD).splitlines()
    if len(lines) != 1 or not lines[0].strip():
        kind = "holds several lines" if len(lines) > 1 else "is empty"
        raise PhotograftError(f"password file {name} {kind}: write the password as its only line")
    return user, lines[0]


def _check_address(host: str, port: int) -> None:
    """Raise PhotograftError unless one can listen there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            if os.name == "posix":  # elsewhere it lets two listen
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(port) from error
        if error.errno == errno.EACCES:
            raise PhotograftError(f"port {port} is not allowed to you: choose one above 1023 with --port") from error
        raise PhotograftError(f"{host}: no address of this computer: choose another --host") from error


def _taken(port: int) -> PhotograftError:
    return PhotograftError(f"port {port} is taken: choose another with --port")


def _in_address(host: str) -> str:
    """A host as browsers take it; all addresses of this computer are shown as its own."""
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host
