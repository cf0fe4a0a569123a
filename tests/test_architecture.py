"""The lines between the packages, held by reading the source: nothing of it is imported.

Every checker is a function of a root folder that returns the violations it finds, so that each is run twice: on the
checkout, where it must find nothing, and on a small tree with a planted violation, where it must find exactly that.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGES = ("train", "infer", "models", "data")
ENTRY_SCRIPTS = ("train.py", "infer.py")
READERS = "models.checkpoints"

# What of ours each package may import; a dotted name allows that module alone.
ALLOWED = {
    "infer": ("infer", "models", "data"),
    "train": ("train", "models", "data"),
    "models": ("models",),
    "data": ("data", "models.errors", "models.terminal"),
}
LIGHTNING = ("pytorch_lightning", "lightning", "lightning_fabric")
FOREIGN_LIBRARIES = ("tensorflow", "tensorflow_hub", "h5py", "dill", "cloudpickle", "joblib")
FOREIGN_SUFFIXES = {".ckpt", ".h5", ".hdf5", ".npy", ".npz", ".onnx", ".pb", ".pickle", ".pkl", ".pt", ".pth", ".tar"}
UNPICKLERS = {"pickle.load", "pickle.loads", "pickle.Unpickler", "pandas.read_pickle"}


# --- reading the source ---


def source_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Every module of ours as (dotted name, path)."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[tuple[str, int]]:
    """Everything imported as (absolute dotted name, line): relative, in functions and by literal name too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, *([base] if base else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = ast.unparse(node.func)
            if name.split(".")[-1] in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.args[0].value, node.lineno


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def resolved_names(tree: ast.Module) -> Callable[[ast.expr], str]:
    """A function that spells an expression with its imported names in full: `F.relu` -> `torch.nn.functional.relu`."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def spell(expression: ast.expr) -> str:
        head, _, tail = ast.unparse(expression).partition(".")
        return ".".join(filter(None, [aliases.get(head, head), tail]))

    return spell


# --- the checkers ---


def wrong_directions(root: Path) -> list[str]:
    """Imports of a package of ours that the importing package may not know."""
    found = []
    for module, path in source_files(root):
        package = module.split(".")[0]
        for name, line in imports(parse(path), module, path.name == "__init__.py"):
            ours = name.split(".")[0] in PACKAGES
            if ours and not any(within(name, allowed) for allowed in ALLOWED[package]):
                found.append(f"{path.relative_to(root)}:{line}: {package} must not import {name}")
    return found


def lightning_reachable_from_infer(root: Path) -> list[str]:
    """Chains of imports that lead from `infer` to Lightning, directly or through `models` and `data`."""
    files = dict(source_files(root))
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        names = {name for name, _ in imports(parse(path), module, path.name == "__init__.py")}
        parents = {name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)}
        graph[module] = {name for name in names | parents if name in files or name in LIGHTNING}
    found = []
    for start in (module for module in files if module.split(".")[0] == "infer"):
        chains, seen = [[start]], {start}
        while chains:
            chain = chains.pop()
            for name in sorted(graph.get(chain[-1], set()) - seen):
                seen.add(name)
                if name in LIGHTNING:
                    found.append(" -> ".join([*chain, name]))
                else:
                    chains.append([*chain, name])
    return found


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
                if name.split(".")[0] in FOREIGN_LIBRARIES:
                    found.append(f"{where}:{line}: {name} belongs in {READERS}")
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
    wrong_directions,
    lightning_reachable_from_infer,
    other_writers,
    hub_loads,
    foreign_formats,
    foreign_files,
    missing_docstrings,
    machine_traces,
)


# --- the tests ---


@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
def test_checkout_is_clean(check: Callable[[Path], list[str]], root: Path) -> None:
    violations = check(root)
    assert not violations, "\n".join(violations)


def plant(root: Path, files: dict[str, str]) -> Path:
    """A small project without violations, then `files` (path -> content) over it."""
    clean = {
        "train/gan/module.py": "import pytorch_lightning\nimport models.base\nfrom data import folders",
        "train/export.py": "import torch\n\n\ndef read(path):\n    return torch.load(path, weights_only=True)",
        "infer/editor.py": "from models.base import Generator\nfrom data import folders\nfrom . import photo",
        "infer/photo.py": "import numpy as np\n\nx = np.load('a')",
        "models/base.py": "import torch.nn.functional as F\nfrom torch.hub import load_state_dict_from_url",
        "models/checkpoints/nvidia.py": "import pickle\n\n\nclass Restricted(pickle.Unpickler):\n    pass",
        "models/checkpoints/hub.py": "import tensorflow_hub as hub\n\nhub.load('x')",
        "data/folders.py": "from models.errors import PhotograftError",
        "data/module.py": "import pytorch_lightning as pl",
        "models/errors.py": "",
    }
    clean |= {f"{package}/__init__.py": "" for package in (*PACKAGES, "models/checkpoints")}
    for name, content in ({path: f'"""Doc."""\n{text}\n' for path, text in clean.items()} | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root


@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
def test_small_clean_tree_has_no_violation(check: Callable[[Path], list[str]], tmp_path: Path) -> None:
    assert check(plant(tmp_path, {})) == []


D = '"""Doc."""\n'
PLANTED = [
    (wrong_directions, "infer/a.py", "from train.gan.module import GAN"),
    (wrong_directions, "infer/a.py", "def f():\n    import train"),
    (wrong_directions, "infer/a.py", "import importlib\nimportlib.import_module('train.gan.module')"),
    (wrong_directions, "train/a.py", "import infer.projection"),
    (wrong_directions, "models/a.py", "from infer import photo"),
    (wrong_directions, "models/a.py", "from data import folders"),
    (wrong_directions, "models/checkpoints/a.py", "from ...train import gan"),
    (wrong_directions, "data/a.py", "from models import base"),
    (wrong_directions, "data/a.py", "from train import gan"),
    (lightning_reachable_from_infer, "infer/a.py", "import pytorch_lightning as pl"),
    (lightning_reachable_from_infer, "infer/a.py", "from lightning.pytorch import Trainer"),
    (lightning_reachable_from_infer, "infer/a.py", "from data.module import Images"),
    (lightning_reachable_from_infer, "data/folders.py", "from data import module"),
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
    if check is not lightning_reachable_from_infer:
        assert all(violation.startswith(name) for violation in violations)


def test_ordinary_text_is_no_machine_trace(tmp_path: Path) -> None:
    text = "frame/wo" + "rk/x ../ro" + "ot/ src/ho" + "me/a https://host.org/wo" + "rk/ /workspace /tmp/x ~/photos\n"
    assert machine_traces(plant(tmp_path, {"README.md": text})) == []
