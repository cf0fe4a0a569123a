"""The shell of the pages: closed to the rest of the world and to the disk, with one line for what is wrong."""

import json
import re
import signal
import socket
import stat
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

gr = pytest.importorskip("gradio", reason="the extra [app] is not installed")

from infer.app import shell  # noqa: E402
from models.errors import PhotograftError  # noqa: E402
from tests.infer.app.conftest import Served, free_port  # noqa: E402

PAGE = """
    import signal, sys
    import gradio as gr
    from infer.app import shell
    from models.errors import PhotograftError
    from models.terminal import orderly

    def fail(text):
        with shell.told():
            raise PhotograftError("a line: " + text)

    with shell.blocks("A page", css=".x { color: red }", head="<meta name='ours' content='1'>") as demo:
        box, out, picture = gr.Textbox(), gr.Textbox(), gr.Image()
        box.submit(fail, box, out)
        picture.upload(lambda p: str(p), picture, out)
    with orderly():
        shell.serve(demo, host="127.0.0.1", port=int(sys.argv[-1]), auth=sys.argv[1] if len(sys.argv) > 3 else None,
                    say=lambda t: print(t, flush=True))
    print("ended")
"""


class Page(Served):
    """The page above."""

    def __init__(self, folder: Path, root: Path, *args: str, env: dict[str, str] | None = None) -> None:
        script = folder / "page.py"
        script.write_text(textwrap.dedent(PAGE))
        super().__init__([str(script), *args], root, {"TMPDIR": str(folder), **(env or {})})

    def get(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        """What the server answers: status, text, headers."""
        request = urllib.request.Request(self.address[:-1] + path, data=data, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode(errors="replace"), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace"), dict(error.headers)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    # What Gradio would take from the environment, and a proxy that is not there, change nothing.
    env = {"GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "True", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    page = Page(folder, root, env=env)
    yield page
    page.close()


@pytest.fixture
def start(tmp_path: Path, root: Path) -> Iterator[Callable[..., Page]]:
    """Starts a page of the test's own; what still runs after it is ended."""
    pages: list[Page] = []

    def started(*args: str) -> Page:
        pages.append(Page(tmp_path, root, *args))
        return pages[-1]

    yield started
    for page in pages:
        page.close()


def test_one_line_tells_the_address_when_the_page_answers(served: Page) -> None:
    assert served.line == f"the page is at http://127.0.0.1:{served.port}/ (Ctrl-C ends it)\n"
    status, page, headers = served.get("/")
    assert status == 200
    assert "<title>A page</title>" in page or '"A page"' in page
    assert "default-src 'self'" in headers["content-security-policy"]


def test_the_page_names_no_foreign_thing_that_is_loaded(served: Page) -> None:
    _, page, _ = served.get("/")
    loaded = re.findall(r"""(?:src|href|import)\s*[=(]\s*["']?(https?://[^"' )]+)""", page)
    assert loaded == []
    config = json.loads(served.get("/config")[1])
    assert config["stylesheets"] == []
    assert "fonts.googleapis" not in served.get("/theme.css")[1]


def test_the_api_is_closed(served: Page) -> None:
    assert json.loads(served.get("/gradio_api/info")[1]) == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert served.get("/gradio_api/run/fail", b'{"data": ["x"]}', **{"Content-Type": "application/json"})[0] >= 400
    assert served.get("/docs")[0] == served.get("/openapi.json")[0] == 404


@pytest.mark.parametrize("path", ["/etc/hostname", "pyproject.toml", "/proc/self/environ", "../../etc/hostname"])
def test_no_path_reaches_the_disk(served: Page, path: str, root: Path) -> None:
    for name in (path, str(root / path)):
        assert served.get(f"/gradio_api/file={name}")[0] in (403, 404)


@pytest.mark.parametrize(
    "path", ["proxy=http://localhost:1/x", "file=http://localhost:1/x", "file=https://example.com/x"]
)
def test_nothing_is_fetched_from_elsewhere_for_a_browser(served: Page, path: str) -> None:
    status, text, _ = served.get(f"/gradio_api/{path}")
    assert (status, text) == (403, "not served here")


def test_a_name_that_is_made_to_point_here_is_refused(served: Page) -> None:
    assert served.get("/", Host="evil.example:7860")[0] == 400
    assert served.get("/", Host=f"localhost:{served.port}")[0] == 200


def call(served: Page, data: list[object], number: int) -> str:
    """What an event of the page answers, as its browser would ask for it."""
    body = json.dumps({"data": data, "fn_index": number, "session_hash": "s"}).encode()
    served.get("/gradio_api/queue/join", body, **{"Content-Type": "application/json"})
    return served.get("/gradio_api/queue/data?session_hash=s")[1]


def test_an_error_is_a_line_without_traceback(served: Page) -> None:
    answer = call(served, ["why"], 0)
    assert '"error": "a line: why"' in answer or '"error":"a line: why"' in answer


@pytest.mark.parametrize("path", ["/etc/hostname", "http://127.0.0.1:9/x.png"])
def test_an_event_takes_no_path_and_no_address(served: Page, path: str) -> None:
    answer = call(served, [{"path": path, "meta": {"_type": "gradio.FileData"}}], 1)
    assert '"success":false' in answer.replace(" ", "")


def test_it_ends_in_order_and_leaves_nothing(tmp_path: Path, start: Callable[..., Page]) -> None:
    page = start()
    assert page.get("/")[0] == 200
    (kept,) = tmp_path.glob("photograft-page-*")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert "a line: why" in call(page, ["why"], 0)
    out, err, seconds = page.end(signal.SIGINT)
    assert (out, err, page.process.returncode) == ("ended\n", "", 0)
    assert seconds < 10
    assert not list(tmp_path.glob("photograft-page-*"))


def test_a_password_is_asked_for(tmp_path: Path, start: Callable[..., Page]) -> None:
    (tmp_path / "password").write_text("open sesame\n")
    page = start(f"ann:{tmp_path / 'password'}")
    assert page.get("/config")[0] == 401
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    wrong = page.get("/login", b"username=ann&password=no", **form)
    right = page.get("/login", b"username=ann&password=open+sesame", **form)
    assert (wrong[0], right[0]) == (400, 200)


# ---------------------------------------------------------------------- before it starts


def test_a_taken_port_is_one_line() -> None:
    with socket.socket() as other, gr.Blocks() as demo:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PhotograftError, match=rf"^port {port} is taken: choose another with --port$"):
            shell.serve(demo, host="127.0.0.1", port=port, say=print)


def test_a_host_of_another_computer_is_one_line() -> None:
    with (
        gr.Blocks() as demo,
        pytest.raises(PhotograftError, match=r"^192\.0\.2\.1: no address of this computer: .*--host$"),
    ):
        shell.serve(demo, host="192.0.2.1", port=free_port(), say=print)


def test_what_another_host_means_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shell, "_launch", launch)
    told: list[str] = []
    with gr.Blocks() as demo:
        pass
    shell.serve(demo, host="0.0.0.0", port=free_port(), say=told.append)
    (line,) = told
    assert "everybody who reaches this computer" in line
    assert "unencrypted: --auth asks for a password" in line


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"a\nb\n", "several lines"), (b"x" * 2000, "too large"), (b"\xff", "UTF-8")],
)
def test_a_password_file_is_read_strictly(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(PhotograftError, match=reason):
        shell.read_auth(f"ann:{tmp_path / 'p'}")


@pytest.mark.parametrize("text", ["", "ann", ":file", "ann:"])
def test_a_pair_is_asked_for(text: str) -> None:
    with pytest.raises(PhotograftError, match="USER:PASSWORD-FILE"):
        shell.read_auth(text)


def test_a_missing_password_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="not found"):
        shell.read_auth(f"ann:{tmp_path / 'none'}")


def test_without_gradio_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import infer.app

    monkeypatch.setattr(infer.app.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PhotograftError, match=r"^the page needs gradio: pip install 'photograft\[app\]'$"):
        infer.app._set_up()
