"""The lines between the packages and between their rooms.

Every checker is a function of a root folder that returns the violations it finds, so that each is run twice: on the
checkout, where it must find nothing, and on a small tree with a planted violation, where it must find exactly that.
"""

import ast
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import pytest

from tests.source_tree import PACKAGES, D, imports, parse, plant, source_files, within

# What of ours each package may import; a dotted name allows that module alone.
ALLOWED = {
    "infer": ("infer", "models", "data"),
    "train": ("train", "models", "data"),
    "models": ("models",),
    "data": ("data", "models.errors", "models.names", "models.progress", "models.terminal"),
}
# The rooms of `infer`, from the door down: each may import those below it, and none beside or above it.
ROOMS = (
    ("cli",),
    ("app", "folders"),
    ("evaluate",),
    ("editor",),
    ("catalog", "projection"),
    ("pictures",),
    ("photo",),
    ("edits", "progress"),
)
DOORS = ("infer.cli", "train.cli")  # imported by the entry scripts alone
# Edits are pure: no photos, no files, no pixels but tensors.
NOT_IN_EDITS = ("cv2", "data", "io", "models.files", "models.reading", "models.writing", "models.zoo", "os", "pathlib",
                "PIL", "safetensors", "shutil", "tempfile")  # fmt: skip
MOST_LINES = 400  # of a file
MOST_CHILDREN = 13  # of `infer`
LIGHTNING = ("pytorch_lightning", "lightning", "lightning_fabric")
ENGINE = "infer.folders.engine"  # has Lightning's predict loop, and is imported when a run begins


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
    """Chains of imports that lead from `infer` to Lightning, directly or through `models` and `data`; but `ENGINE`."""
    files = dict(source_files(root))
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        names = {name for name, _ in imports(parse(path), module, path.name == "__init__.py")}
        parents = {name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)}
        graph[module] = {name for name in names | parents if name in files or name in LIGHTNING}
    found = []
    for start in (module for module in files if module.split(".")[0] == "infer" and module != ENGINE):
        chains, seen = [[start]], {start, ENGINE}
        while chains:
            chain = chains.pop()
            for name in sorted(graph.get(chain[-1], set()) - seen):
                seen.add(name)
                if name in LIGHTNING:
                    found.append(" -> ".join([*chain, name]))
                else:
                    chains.append([*chain, name])
    return found


def engine_imported_early(root: Path) -> list[str]:
    """Imports of `ENGINE` outside functions."""
    found = []
    for module, path in source_files(root):
        tree = parse(path)
        late = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == ENGINE and id(node) not in late:
                found.append(f"{path.relative_to(root)}:{node.lineno}: {module} imports {ENGINE} before it runs")
    return found


def module_of(name: str, modules: Collection[str]) -> str | None:
    """The module of ours that an imported name lies in, if any: itself or the longest beginning that is one."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The import statements that run when a module is imported: not those in functions or for type checkers."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_import(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in ("body", "orelse", "finalbody", "handlers"):
                for inner in getattr(node, part, []):
                    yield from at_import(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """A way through a graph that comes back to its start, which is named at both ends; empty if there is none."""
    done: set[str] = set()
    for start in sorted(graph):
        way, left = [start], [iter(sorted(graph[start]))]
        while way:
            following = next(left[-1], None)
            if following is None:
                done.add(way.pop())
                left.pop()
            elif following in way:
                return [*way[way.index(following) :], following]
            elif following not in done:
                way.append(following)
                left.append(iter(sorted(graph.get(following, ()))))
    return []


def circles(root: Path) -> list[str]:
    """Circles of imports: between modules as they are imported, and between the rooms of a package at any time."""
    files = dict(source_files(root))
    modules: dict[str, set[str]] = {name: set() for name in files}
    rooms: dict[str, set[str]] = {".".join(name.split(".")[:2]): set() for name in files if "." in name}
    for module, path in files.items():
        tree, is_package = parse(path), path.name == "__init__.py"
        top = ast.Module(list(at_import(tree.body)), [])
        found = {module_of(name, files) for name, _ in imports(top, module, is_package)}
        modules[module] = {name for name in found if name is not None and name != module}
        room = ".".join(module.split(".")[:2])
        reached = {".".join(name.split(".")[:2]) for name, _ in imports(tree, module, is_package)}
        if room in rooms:
            rooms[room] |= (reached & rooms.keys()) - {room}
    return [" -> ".join(circle) for circle in (circle_in(modules), circle_in(rooms)) if circle]


def upward_imports(root: Path) -> list[str]:
    """Imports within `infer` of a room beside or above one's own; rooms that the order does not know."""
    height = {room: number for number, rooms in enumerate(reversed(ROOMS)) for room in rooms}
    found = []
    for module, path in source_files(root):
        where = path.relative_to(root)
        package, _, room = ".".join(module.split(".")[:2]).partition(".")
        if package != "infer" or not room:
            continue
        if room not in height:
            found.append(f"{where}: {room} has no place in the order of the rooms")
            continue
        for name, line in imports(parse(path), module, path.name == "__init__.py"):
            other = name.split(".")[1] if within(name, "infer") and "." in name else room
            if other != room and height.get(other, len(ROOMS)) >= height[room]:
                found.append(f"{where}:{line}: {room} must not import {name}")
    return found


def imported_doors(root: Path) -> list[str]:
    """Imports of the commands from elsewhere: what others need belongs in a room below."""
    return [
        f"{path.relative_to(root)}:{line}: {name} is imported by the entry scripts alone"
        for module, path in source_files(root)
        for name, line in imports(parse(path), module, path.name == "__init__.py")
        for door in DOORS
        if within(name, door) and not within(module, door)
    ]


def impure_edits(root: Path) -> list[str]:
    """Edits that know of photos or files."""
    found = []
    for module, path in source_files(root):
        if not within(module, "infer.edits"):
            continue
        tree, where = parse(path), path.relative_to(root)
        for name, line in imports(tree, module, path.name == "__init__.py"):
            if any(within(name, other) for other in NOT_IN_EDITS):
                found.append(f"{where}:{line}: an edit must not know {name}")
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        found += [f"{where}:{c.lineno}: an edit must not open files" for c in calls if ast.unparse(c.func) == "open"]
    return found


def long_files(root: Path) -> list[str]:
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for _, path in source_files(root)}
    return [f"{path.relative_to(root)}: {n} lines, over {MOST_LINES}" for path, n in counts.items() if n > MOST_LINES]


def crowded_infer(root: Path) -> list[str]:
    """More in `infer` than one takes in at a glance."""
    children = sorted(path.name for path in (root / "infer").iterdir() if path.name != "__pycache__")
    return [f"infer: {len(children)} children, over {MOST_CHILDREN}"] if len(children) > MOST_CHILDREN else []


CHECKERS = (
    wrong_directions,
    circles,
    upward_imports,
    imported_doors,
    impure_edits,
    long_files,
    crowded_infer,
    lightning_reachable_from_infer,
    engine_imported_early,
)


@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
def test_checkout_is_clean(check: Callable[[Path], list[str]], root: Path) -> None:
    violations = check(root)
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
def test_small_clean_tree_has_no_violation(check: Callable[[Path], list[str]], tmp_path: Path) -> None:
    assert check(plant(tmp_path, {})) == []


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
    (circles, "models/base.py", "from models.checkpoints import hub"),
    (circles, "models/base.py", "def f():\n    from models.checkpoints import nvidia"),  # between rooms: at any time
    (circles, "infer/photo/read.py", "import infer.photo.write"),
    (circles, "infer/photo/read.py", "class A:\n    from infer.photo import write"),
    (circles, "infer/photo/read.py", "try:\n    import x\nexcept ImportError:\n    from infer.photo import write"),
    (upward_imports, "infer/edits/a.py", "from infer.editor.editor import Editor"),
    (upward_imports, "infer/photo/a.py", "def f():\n    from ..editor import editor"),
    (upward_imports, "infer/catalog/a.py", "from infer.projection import search"),
    (upward_imports, "infer/photo/a.py", "from infer.edits import scbn\nfrom infer import editor"),
    (upward_imports, "infer/photo/a.py", "import infer.hall.a"),
    (upward_imports, "infer/hall/a.py", ""),
    (imported_doors, "infer/editor/a.py", "from infer.cli import options"),
    (imported_doors, "infer/editor/a.py", "def f():\n    import infer.cli.main"),
    (imported_doors, "train/export.py", "from train.cli import main"),
    (impure_edits, "infer/edits/a.py", "from pathlib import Path"),
    (impure_edits, "infer/edits/a.py", "from PIL import Image"),
    (impure_edits, "infer/edits/a.py", "from models.files import load_network"),
    (impure_edits, "infer/edits/a.py", "def f(name):\n    return open(name).read()"),
    (long_files, "models/a.py", "x = 1\n" * 400),
    (lightning_reachable_from_infer, "infer/a.py", "import pytorch_lightning as pl"),
    (lightning_reachable_from_infer, "infer/a.py", "from lightning.pytorch import Trainer"),
    (lightning_reachable_from_infer, "infer/a.py", "from data.module import Images"),
    (lightning_reachable_from_infer, "data/folders.py", "from data import module"),
    (engine_imported_early, "infer/a.py", "from infer.folders.engine import share_out"),
]


@pytest.mark.parametrize(("check", "name", "content"), PLANTED)
def test_planted_violation_is_found(
    check: Callable[[Path], list[str]], name: str, content: str, tmp_path: Path
) -> None:
    violations = check(plant(tmp_path, {name: D + content + "\n"}))
    assert violations
    if check not in (circles, lightning_reachable_from_infer):
        assert all(violation.startswith(name) for violation in violations)


def test_a_crowded_package_is_found(tmp_path: Path) -> None:
    files = {f"infer/{name}.py": D for name in "abcdefghijklm"}
    (violation,) = crowded_infer(plant(tmp_path, files))
    assert violation == f"infer: {5 + len(files)} children, over 13"


def test_a_circle_is_told_from_end_to_end(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {"infer/photo/read.py": D + "from infer.photo import deep", "infer/photo/deep.py": D + "from . import write"},
    )
    assert circles(root) == ["infer.photo.read -> infer.photo.deep -> infer.photo.write -> infer.photo.read"]
