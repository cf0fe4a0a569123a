"""Models at an address, fetched by pooch: a manifest and the files beside it, or a generator alone."""

from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from models.errors import PhotograftError
from models.hub.address import MANIFEST, WebFile, is_safe
from models.hub.kept import Kept, folder_of, is_file_of, keep
from models.hub.manifest import LARGEST, most_bytes, read_manifest
from models.hub.transfer import Transfer, arrived, missing

_TIMEOUT = 30.0  # seconds that a server may be silent
_CHUNK = 2**16  # bytes


def fetch_manifest(address: WebFile) -> Kept:
    """The model of an address, which is not kept yet.

    Raises:
        PhotograftError: a missing extra, a server that cannot be reached, sends something else or too much, or leads
            to an address that is not safe.
    """
    folder = folder_of(address)
    if not address.name.endswith(MANIFEST):
        _fetch(address.url, address.sha256, folder, most_bytes(address.name))
        return keep(address, {address.name: address.sha256})
    path = _fetch(address.url, address.sha256, folder, LARGEST)
    manifest = read_manifest(path.read_bytes(), address.url)
    for name, known in manifest.files.items():
        _fetch(address.beside(name), known, folder, most_bytes(name))
    return keep(address, manifest.files)


def _fetch(url: str, known: str, folder: Path, most: int) -> Path:
    """A file with this sha256: what an interrupted run has fetched already is not fetched again."""
    name = url.rpartition("/")[2]
    if is_file_of(folder / name, known):
        return folder / name
    try:
        import pooch
        import requests
    except ImportError as error:
        raise missing("pooch", error) from error
    pooch.get_logger().setLevel("WARNING")  # it is told here
    answers = ExitStack()  # which pooch leaves open where a body is cut off
    get = pooch.HTTPDownloader(
        progressbar=Transfer(desc=name),
        chunk_size=_CHUNK,
        timeout=_TIMEOUT,
        headers={"Accept-Encoding": "identity"},  # sizes and hashes are those of the file
        hooks={"response": partial(_check, most=most, answers=answers)},
    )
    try:
        with answers:
            path = Path(pooch.retrieve(url, f"sha256:{known}", fname=name, path=folder, downloader=get))
    except requests.HTTPError as error:
        code = 0 if error.response is None else error.response.status_code
        raise PhotograftError(f"{url}: the server answers {code} {_phrase(code)}") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise PhotograftError(f"{url}: the download was cut off: try again") from error
    except requests.RequestException as error:
        raise PhotograftError(f"{url} cannot be reached, and it is not kept: {_reason(error)}") from error
    except ValueError as error:
        raise PhotograftError(
            f"{url} is not the file with sha256 {known}: it was changed, cut off or replaced; nothing of it is kept"
        ) from error
    arrived(path, known)
    return path


def _check(response: Any, *_: Any, most: int, answers: ExitStack, **__: Any) -> None:
    """Refuse a redirect to where others can listen in, and a body of unknown or too large a size."""
    answers.callback(response.close)
    wrong = _wrong(response, most)
    if wrong is not None:
        raise PhotograftError(f"{response.url}{wrong}")


def _wrong(response: Any, most: int) -> str | None:
    if response.is_redirect:
        to = urljoin(response.url, response.headers["location"])
        return None if is_safe(to) else f" leads to {to:.200}: models are fetched by https:// alone"
    size = response.headers.get("content-length", "")
    if not response.ok:
        return None
    if not size.isdecimal() or "content-encoding" in response.headers:
        return ": the server does not say how large the file is"
    if int(size) > most:
        return f" is too large: {int(size):,} bytes, and at most {most:,} are fetched"
    return None


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "(an unknown answer)"


def _reason(error: Exception) -> str:
    """The innermost cause in few words: the library's own say addresses of objects."""
    inner: BaseException = error
    while (cause := inner.__cause__ or inner.__context__) is not None:
        inner = cause
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
