"""What no file of the source may do: write beside the writer, read foreign formats elsewhere, name one's machine.

Every checker is run twice, as those of `test_architecture.py` are.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.source_tree import PACKAGES, D, imports, parse, plant, resolved_names, source_files, within

ENTRY_SCRIPTS = ("train.py", "infer.py")
READERS = "models.checkpoints"
TENSORFLOW = "models.tf"  # programs of their own
FOREIGN_LIBRARIES = ("tensorflow", "tensorflow_hub", "h5py", "dill", "cloudpickle", "joblib")
FOREIGN_SUFFIXES = {".ckpt", ".h5", ".hdf5", ".npy", ".npz", ".onnx", ".pb", ".pickle", ".pkl", ".pt", ".pth", ".tar"}
UNPICKLERS = {"pickle.load", "pickle.loads", "pickle.Unpickler", "pandas.read_pickle"}
WRITER = "models.writing"
WRITES = {"write_text", "write_bytes", "savefig", "save_file", "mkdtemp", "mkstemp"}


def other_writers(root: Path) -> list[str]:
    """Files written elsewhere than in `models/writing.py`, which leaves them whole or not at all."""
    found = []
    for module, path in source_files(root):
        if module == WRITER:
            continue
        tree = parse(path)
        spell = resolved_names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = spell(node.func)
                last = name.split(".")[-1]
                texts = [ast.literal_eval(arg) for arg in node.args if isinstance(arg, ast.Constant)]
                opens = last == "open" and any(isinstance(t, str) and re.fullmatch("[wxa]b?t?[+]?", t) for t in texts)
                in_memory = last == "savefig" and node.args and ast.unparse(node.args[0]) == "stream"
                if opens or (last in WRITES and not in_memory) or name in ("os.replace", "os.rename", "torch.save"):
                    found.append(f"{path.relative_to(root)}:{node.lineno}: {last} belongs in {WRITER}")
    return found


def hub_loads(root: Path) -> list[str]:
    """Uses of `torch.hub.load`: its repositories bring their own `models` and `utils`, which clash with ours."""
    found = []
    for _, path in [*source_files(root), *((name, root / name) for name in ENTRY_SCRIPTS if (root / name).exists())]:
        tree = parse(path)
        spell = resolved_names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and spell(node.func) == "torch.hub.load":
                found.append(f"{path.relative_to(root)}:{node.lineno}: torch.hub.load")
    return found


def foreign_formats(root: Path) -> list[str]:
    """Foreign formats are read in `models/checkpoints` alone, and nowhere may a file decide what is executed."""
    found = []
    for module, path in source_files(root):
        tree = parse(path)
        reader = within(module, READERS)
        where = path.relative_to(root)
        if not reader:
            for name, line in imports(tree, module, path.name == "__init__.py"):
                if name.split(".")[0] in FOREIGN_LIBRARIES and not within(module, TENSORFLOW):
                    found.append(f"{where}:{line}: {name} belongs in {READERS} or {TENSORFLOW}")
        spell = resolved_names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                found.extend(f"{where}:{node.lineno}: {reason}" for reason in unsafe_call(node, spell, reader))
            elif isinstance(node, ast.ClassDef) and not reader:
                bases = {spell(base) for base in node.bases}
                if bases & UNPICKLERS:
                    found.append(f"{where}:{node.lineno}: an unpickler belongs in {READERS}")
    return found


def unsafe_call(node: ast.Call, spell: Callable[[ast.expr], str], reader: bool) -> Iterator[str]:
    """Why this call reads more than tensors: an open unpickler, or a loader without its safe flag."""
    name = spell(node.func)
    flags = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in UNPICKLERS:
        yield f"{name} executes what the file says; restrict an Unpickler in {READERS}"
    elif name == "torch.load":
        if flags.get("weights_only") != "True" and not (reader and "pickle_module" in flags):
            yield "torch.load without weights_only=True"
    elif name == "numpy.load" and flags.get("allow_pickle", "False") != "False":
        yield "numpy.load with allow_pickle"
    elif name.split(".")[-1] == "load_from_checkpoint" and flags.get("weights_only") != "True":
        yield "load_from_checkpoint without weights_only=True"


def foreign_files(root: Path) -> list[str]:
    """Files of a foreign format among the packages: the only weights that we ship are safetensors."""
    paths = (path for package in (*PACKAGES, "configs") for path in (root / package).rglob("*"))
    return [str(path.relative_to(root)) for path in paths if path.suffix.lower() in FOREIGN_SUFFIXES]


def missing_docstrings(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for _, path in source_files(root) if not ast.get_docstring(parse(path))]


def tracked_files(root: Path) -> list[Path]:
    """What git tracks or would track; every file where there is no git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        hidden = {".git", ".venv", "__pycache__"}
        return [path for path in root.rglob("*") if path.is_file() and not hidden & set(path.relative_to(root).parts)]
    return [root / name for name in names if name and (root / name).is_file()]


# Spelt in pieces, or this file would be the first to break the rule.
_FOLDERS = ["wo" + "rk", "ro" + "ot", "opt/" + "(?:pypi|wheels)"]
_HOMES = ["ho" + "me/[a-z]", "Us" + "ers/[A-Za-z]"]
_HOSTS = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org", "download.py" + "torch.org/whl"]
_HOSTS += ["deb.deb" + "ian.org", "crates" + ".io", "proxy.gol" + "ang.org", "conda.ana" + "conda.org"]
MACHINE_PATH = re.compile(
    r"(?<![\w.~$})\]/-])/(?:(?:" + "|".join(_FOLDERS) + r")(?![\w-])|(?:" + "|".join(_HOMES) + "))"
)
REGISTRY_HOST = re.compile("|".join(re.escape(host) for host in _HOSTS))


def machine_traces(root: Path) -> list[str]:
    """Lines of text files that name one computer's folders or a package registry's host."""
    found = []
    for path in tracked_files(root):
        content = path.read_bytes()
        if b"\0" in content[:8192]:
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
            for pattern in (MACHINE_PATH, REGISTRY_HOST):
                if match := pattern.search(line):
                    found.append(f"{path.relative_to(root)}:{number}: {match.group()}")
    return sorted(set(found))


CHECKERS = (
    other_writers,
    hub_loads,
    foreign_formats,
    foreign_files,
    missing_docstrings,
    machine_traces,
)


@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
def test_checkout_is_clean(check: Callable[[Path], list[str]], root: Path) -> None:
    violations = check(root)
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
def test_small_clean_tree_has_no_violation(check: Callable[[Path], list[str]], tmp_path: Path) -> None:
    assert check(plant(tmp_path, {})) == []


PLANTED = [
    (other_writers, "infer/a.py", "from pathlib import Path\nPath('x').write_text('y')"),
    (other_writers, "train/a.py", "with open('x', 'wb') as file:\n    pass"),
    (other_writers, "train/a.py", "import os\nos.replace('x', 'y')"),
    (other_writers, "models/a.py", "from safetensors.torch import save_file\nsave_file({}, 'x')"),
    (hub_loads, "infer/a.py", "import torch\ntorch.hub.load('a', 'b')"),
    (hub_loads, "models/a.py", "from torch import hub\nhub.load('a', 'b')"),
    (hub_loads, "models/a.py", "from torch.hub import load as fetch\nfetch('a', 'b')"),
    (hub_loads, "infer.py", "import torch\ntorch.hub.load('a', 'b')"),
    (foreign_formats, "infer/a.py", "import pickle\npickle.load(open('x', 'rb'))"),
    (foreign_formats, "models/checkpoints/a.py", "from pickle import loads\nloads(b'')"),
    (foreign_formats, "train/a.py", "import pickle\n\n\nclass U(pickle.Unpickler):\n    pass"),
    (foreign_formats, "train/a.py", "import torch\ntorch.load('x')"),
    (foreign_formats, "models/checkpoints/a.py", "import torch as t\nt.load('x', weights_only=False)"),
    (foreign_formats, "data/a.py", "import numpy as np\nnp.load('x', allow_pickle=True)"),
    (foreign_formats, "models/zoo.py", "import tensorflow as tf"),
    (foreign_formats, "train/a.py", "from train.gan.module import GAN\nGAN.load_from_checkpoint('x')"),
    (foreign_files, "models/weights/generator.pth", ""),
    (missing_docstrings, "infer/a.py", "x = 1"),
    (machine_traces, "README.md", "see /" + "work/photos"),
    (machine_traces, "configs/a.yaml", "path: '/ro" + "ot/data'"),
    (machine_traces, "configs/a.yaml", "path: /ho" + "me/somebody/data"),
    (machine_traces, "notes.txt", "https://files.python" + "hosted.org/x"),
]


@pytest.mark.parametrize(("check", "name", "content"), PLANTED)
def test_planted_violation_is_found(
    check: Callable[[Path], list[str]], name: str, content: str, tmp_path: Path
) -> None:
    text = content if check in (missing_docstrings, machine_traces) else D + content
    violations = check(plant(tmp_path, {name: text + "\n"}))
    assert violations
    assert all(violation.startswith(name) for violation in violations)


def test_ordinary_text_is_no_machine_trace(tmp_path: Path) -> None:
    text = "frame/wo" + "rk/x ../ro" + "ot/ src/ho" + "me/a https://host.org/wo" + "rk/ /workspace /tmp/x ~/photos\n"
    assert machine_traces(plant(tmp_path, {"README.md": text})) == []
