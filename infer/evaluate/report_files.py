"""Tables as Markdown and CSV, pictures and figures as PNG, and files that are written whole."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from infer.editor.results import ResultFolder
from models.hub.address import title
from models.terminal import visible
from models.writing import Writer, file_name, text

Row = Sequence[str]
QUALITY = 88  # of JPEGs


def markdown_table(rows: Sequence[Row]) -> str:
    """A table whose header is the first row."""
    lines = ["| " + " | ".join(visible(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def csv_table(rows: Iterable[Row]) -> str:
    """The same as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def picture_png(pixels: NDArray[np.uint8]) -> bytes:  # [H,W,3]
    """A picture as the bytes of a PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def picture_jpeg(pixels: NDArray[np.uint8]) -> bytes:  # [H,W,3]
    """A sheet of photos as the bytes of a JPEG: a fifth of a PNG's."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=QUALITY, optimize=True, subsampling=0)
    return stream.getvalue()


def figure_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG that does not tell by what it was made."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()


def hashes_text(hashes: Mapping[str, str]) -> str:
    """File names with the beginnings of their sha256."""
    return ", ".join(f"`{file}` {value[:12]}" for file, value in hashes.items())


def model_title(model: str) -> str:
    """A model's name without folders and endings."""
    return title(model) or Path(model).name.removesuffix(".generator.safetensors")


def report_name(model: str, what: str) -> str:
    """What the names of a report's files begin with."""
    return file_name(model_title(model), what)


def write_report(contents: Mapping[str, str | bytes], results: ResultFolder) -> list[Path]:
    """Write the files of a report, all or none.

    Returns:
        Their paths.

    Raises:
        PhotograftError: a folder that cannot be written, or a name that the command reads.
    """
    return results.replace({file: writer_of(content) for file, content in contents.items()})


def writer_of(content: str | bytes) -> Writer:
    """Writes a text, or bytes as they are."""
    return text(content) if isinstance(content, str) else lambda stream: stream.write(content)
