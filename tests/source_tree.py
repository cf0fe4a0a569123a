"""The project's source as the tests of its rules read it, importing nothing; and a small tree to plant faults in."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGES = ("train", "infer", "models", "data")


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


D = '"""Doc."""\n'
FOLDERS = ("models/checkpoints", "infer/cli", "infer/editor", "infer/photo", "infer/edits")


def plant(root: Path, files: dict[str, str]) -> Path:
    """A small project without violations, then `files` (path -> content) over it."""
    clean = {
        "train/gan/module.py": "import pytorch_lightning\nimport models.base\nfrom data import folders",
        "train/export.py": "import torch\n\n\ndef read(path):\n    return torch.load(path, weights_only=True)",
        "infer/cli/main.py": "from infer.editor.editor import Editor\nfrom infer.cli import options",
        "infer/cli/options.py": "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from infer.cli import main"
        "\n\n\ndef late():\n    import infer.cli.main",
        "infer/editor/editor.py": "from models.base import Generator\nfrom data import folders\n"
        "from ..photo import read",
        "infer/photo/read.py": "import numpy as np\n\nx = np.load('a')",
        "infer/photo/write.py": "from infer.photo import read",
        "infer/edits/scbn.py": "import torch\nfrom models.base import Generator",
        "models/base.py": "import torch.nn.functional as F\nfrom torch.hub import load_state_dict_from_url",
        "models/checkpoints/nvidia.py": "import pickle\n\n\nclass Restricted(pickle.Unpickler):\n    pass",
        "models/checkpoints/hub.py": "import tensorflow_hub as hub\nfrom models.base import Generator\n\nhub.load('x')",
        "data/folders.py": "from models.errors import PhotograftError",
        "data/module.py": "import pytorch_lightning as pl",
        "models/errors.py": "",
    }
    clean |= {f"{package}/__init__.py": "" for package in (*PACKAGES, *FOLDERS)}
    for name, content in ({path: f'"""Doc."""\n{text}\n' for path, text in clean.items()} | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root
