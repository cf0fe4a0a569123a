#!/usr/bin/env bash
# torch.onnx.export of an ExportedProgram forgets the name of its dynamic dimension
# and writes local file names and source lines into every node.
#
# Package: torch 2.14.1, onnx 1.23.2, onnxscript 0.7.2, onnx-ir 1.1.0.
#
# Expected: an ExportedProgram that was made with Dim("pictures") gives an ONNX
#   input whose axis is called "pictures", as it is where a module and dynamic_shapes
#   go to torch.onnx.export directly. And a model that is made to be given to
#   others says nothing of the machine it was made on: there is no option that
#   asks for that, and the documentation of export() names no such contents.
#
# Behaviour: the axis is called "s" and a number, the symbol that torch chose. Every
#   node has the property pkg.torch.onnx.stack_trace: the full path of the source
#   file, the line's number and its text. So a file that is published tells where
#   the author's code lay and how its lines read, and its bytes change when the
#   code moves to another folder. metadata_props must be cleared by hand.
#
# Output seen (the symbol's number may differ):
#   axis of a module:           pictures
#   axis of a program:          s6
#   nodes with a stack trace:   2 of 2
#   names the script's folder:  True
#   shows the source line:      True
#   behaviour as stated: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.14.1 onnx==1.23.2 onnxscript==0.7.2 onnx-ir==1.1.0 numpy
mkdir "$tmp/somewhere"
cd "$tmp/somewhere"
cat > export.py <<'PY'
import re
import sys
import warnings
from pathlib import Path

import onnx
import torch
from torch.export import Dim, export

warnings.simplefilter("ignore")


class Halved(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) * 0.5  # a line to be found


def written(name, program, **options):
    torch.onnx.export(program, (torch.ones(2, 3),) if options else (), name, dynamo=True, verbose=False, **options)
    return onnx.load(name)


def axis(model):
    return model.graph.input[0].type.tensor_type.shape.dim[0].dim_param


pictures = Dim("pictures")
of_module = written("module.onnx", Halved(), dynamic_shapes=({0: pictures},))
program = export(Halved(), (torch.ones(2, 3),), dynamic_shapes=({0: pictures},), strict=True)
of_program = written("program.onnx", program)
nodes = of_program.graph.node
traces = [p.value for node in nodes for p in node.metadata_props if p.key == "pkg.torch.onnx.stack_trace"]
folder = all(str(Path(__file__).resolve().parent) in trace for trace in traces)
line = all("torch.relu(x) * 0.5" in trace for trace in traces)
print(f"axis of a module:           {axis(of_module)}")
print(f"axis of a program:          {axis(of_program)}")
print(f"nodes with a stack trace:   {len(traces)} of {len(nodes)}")
print(f"names the script's folder:  {folder}")
print(f"shows the source line:      {line}")
stated = axis(of_module) == "pictures" and re.fullmatch(r"s\d+", axis(of_program)) is not None
stated = stated and len(traces) == len(nodes) > 0 and folder and line
print(f"behaviour as stated: {stated}")
sys.exit(not stated)
PY
"$tmp/venv/bin/python" export.py
