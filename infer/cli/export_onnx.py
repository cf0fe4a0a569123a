"""`infer.py export-onnx`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infer.cli.common import OutOption, bar, complain, note, print_table, say
from infer.cli.completion import model_names
from models.errors import PhotograftError
from models.reading import MEBI
from models.writing import Writer, file_name, write_files
from models.zoo import load_model

if TYPE_CHECKING:
    from models.onnx.graphs import Axis, Graph


def export_onnx(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="As --model of other commands.", autocompletion=model_names),
    ],
    out: OutOption = Path("out"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Write a model's generator and encoder as ONNX files, and compare each with torch in onnxruntime.

    The generator takes weights of classes, and in a second file weights of classes at every pixel, for another class in
    a region. A style generator has a file for its mapping too.
    """
    from infer.editor.results import check_folder
    from models.onnx.graphs import graphs
    from models.onnx.writing import TOLERANCE, description, need_onnx

    need_onnx()
    loaded = load_model(model)
    found, missing = graphs(loaded)
    check_folder(out)
    paths = {graph.part: out / f"{file_name(loaded.stem)}.{graph.part}.onnx" for graph in found}
    there = [path.name for path in paths.values() if path.exists()]
    if there and not overwrite:
        raise PhotograftError(f"{out} has {', '.join(there)}: choose another --out, or --overwrite")
    says, jobs, rows = description(loaded), dict[Path, Writer](), []
    with bar() as update:
        for done, graph in enumerate(found):
            update(f"writing {graph.part}", done, len(found))
            content, row = _written(graph, says)
            rows.append(row)
            if content is not None:
                jobs[paths[graph.part]] = _bytes(content)
    print_table([("part", "inputs", "output", "MB", f"difference (at most {TOLERANCE:g})"), *rows])
    write_files(jobs)
    for path in jobs:
        say(path)
    for line in missing:
        note(f"no {line}")
    if len(jobs) < len(found):
        raise typer.Exit(2)


def _written(graph: Graph, says: dict[str, str]) -> tuple[bytes | None, tuple[str, ...]]:
    """A file's content, None where it is not to be kept, which is said; and the table's row."""
    from models.onnx.writing import TOLERANCE, difference, onnx_bytes

    inputs = ", ".join(_shown(name, shape) for name, shape in graph.inputs.items())
    head = (graph.part, inputs, _shown(*graph.output))
    try:
        content = onnx_bytes(graph, says)
        found = difference(graph, content)
    except PhotograftError as error:
        complain(str(error))
        return None, (*head, "", "not written")
    row = (*head, f"{len(content) / MEBI:.1f}", f"{found:.1e}")
    if found <= TOLERANCE:
        return content, row
    complain(f"{graph.part}: onnxruntime's answers differ from torch's by {found:.1e}: the file is not kept")
    return None, row


def _shown(name: str, shape: tuple[Axis, ...]) -> str:
    return f"{name} [{','.join(map(str, shape))}]"


def _bytes(content: bytes) -> Writer:
    return lambda stream: stream.write(content)
