"""The package as a whole: how it is imported, distributed, and that it keeps its conventions."""

import ast
import functools
import graphlib
import importlib.util
import inspect
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

import mer_jax

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mer_jax"
# Parameters with a default that may be given by position, beside optional arrays.
BY_POSITION = {
    ("datasets/__init__.py", "load", "root"),  # load(name, root): some databases have no root
    ("datasets/synthetic/__init__.py", "Scene.flow", "start"),  # flow(end, start): two instants
}


def test_importing_the_package_imports_no_jax_and_starts_no_backend():
    code = (
        "import sys, mer_jax, mer_jax.errors; assert 'jax' not in sys.modules, 'jax is imported';"
        "import mer_jax.configuration, jax;"
        "from jax._src import xla_bridge; assert not xla_bridge._backends, 'a backend was started'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_modules_are_found_by_name():
    for name in mer_jax.__all__:
        assert getattr(mer_jax, name) is not None and name in dir(mer_jax)
        assert inspect.ismodule(getattr(mer_jax, name)) == (name in mer_jax._MODULES)
    assert {*mer_jax.__all__} == {*mer_jax._MODULES, *mer_jax._NAMES}
    assert 15 <= len(mer_jax._NAMES) <= 25
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mer_jax.nonsense  # noqa: B018


def test_type_checkers_see_the_same_modules():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = [alias.name for node in imports if node.module == "mer_jax" for alias in node.names]
    assert seen == sorted(mer_jax._MODULES)
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}".removeprefix("mer_jax.")
        for node in imports
        if node.module != "mer_jax"
        for alias in node.names
        if (node.module or "").startswith("mer_jax.")
    }
    assert names == mer_jax._NAMES


def test_the_version_is_in_the_changelog():
    assert re.fullmatch(r"\d+\.\d+\.\d+", mer_jax.__version__)
    assert f"**{mer_jax.__version__}**" in (ROOT / "WORKSPACE.md").read_text()


def test_the_map_names_every_module_and_no_other():
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "WORKSPACE.md").read_text(), re.MULTILINE)
    paths = []
    for cell in table:
        names = re.findall(r"`([^`]+)`", cell)
        first = pathlib.PurePosixPath(names[0])
        paths += [first, *(first.parent / name for name in names[1:])]
    missing = [str(path) for path in paths if not (ROOT / path).exists()]
    assert not missing
    modules = {path.stem for path in paths if path.parts[0] == "mer_jax"}
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules == there - {"__init__", "__pycache__"}
    assert {*mer_jax._MODULES} <= modules


def public(path):
    """(name, node) of a module's public functions and classes, and of these classes' methods."""
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            named = isinstance(inner, ast.FunctionDef) and not re.match(r"_(?!_call__)", inner.name)
            if named:
                yield f"{node.name}.{inner.name}", inner


@functools.cache
def everywhere():
    """(file, name, node) of all that is public."""
    return [
        (path.relative_to(PACKAGE).as_posix(), name, node)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent.name not in ("cli", "configs")  # commands and jobs, no API
        for name, node in public(path)
    ]


def functions():
    """(file, name, node, its positional arguments without self) of all that is called."""
    for file, name, node in everywhere():
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args]
            own = arguments[0].arg in ("self", "cls") if "." in name else False
            yield file, name, node, arguments[own:]


def test_the_walk_finds_what_is_public():
    found = {(file, name) for file, name, _ in everywhere()}
    assert {("video/magnify.py", "magnify"), ("clips.py", "Clip.frames")} <= found
    assert {("models/strcn.py", "STRCNG"), ("nn/tpu.py", "TPU.__call__")} <= found
    assert len(found) > 400


def test_the_key_is_first():
    late = [
        (file, name)
        for file, name, node, arguments in functions()
        if "key" in [each.arg for each in arguments[1:] + node.args.kwonlyargs]
    ]
    assert not late


def test_options_are_keyword_only():
    wrong = set()
    for file, name, node, arguments in functions():
        count = len(node.args.defaults)
        for argument in arguments[len(arguments) - count :]:
            if "Array" not in ast.unparse(argument.annotation):
                wrong.add((file, name, argument.arg))
    assert wrong == BY_POSITION


def test_everything_public_has_a_docstring():
    silent = [
        (file, name)
        for file, name, node in everywhere()
        if not ast.get_docstring(node) and not name.endswith("__call__")
    ]
    assert not silent


def test_everything_public_is_annotated():
    bare = []
    for file, name, node, arguments in functions():
        given = [*arguments, *node.args.kwonlyargs]
        if node.returns is None or any(argument.annotation is None for argument in given):
            bare.append((file, name))
    assert not bare


def test_no_import_runs_up():
    """Packages and top modules import each other in one direction, also within functions.

    `spotting.trained` reads configurations, which name what the rest of `spotting` has.
    """
    apart, graph = "spotting.trained", {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        unit = apart if parts == ("spotting", "trained") else parts[0]
        for node in ast.walk(ast.parse(path.read_text())) if unit != "__init__" else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mer_jax"):
                named = [f"{node.module}.{alias.name}".split(".")[1:3] for alias in node.names]
                found = {apart if ".".join(name) == apart else name[0] for name in named}
                graph.setdefault(unit, set()).update(found - {unit})
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError
    assert len(graph) > 25


def files(folder, root):
    found = (path for path in (root / folder).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix() for path in found if path.suffix != ".pyc"}


@pytest.mark.e2e
def test_what_is_distributed(tmp_path):
    """The wheel is the package alone, whole and typed; the sdist is the checkout."""
    source = tmp_path / "checkout"
    folders = ("mer_jax", "experiments", "tests", "tools", ".ci")
    for folder in folders:
        shutil.copytree(ROOT / folder, source / folder)
    for file in ("pyproject.toml", "README.md", "WORKSPACE.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    code = "from hatchling import build as m; m.build_sdist('../out'); m.build_wheel('../out')"
    made = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    stem = tmp_path / "out" / f"mer_jax-{mer_jax.__version__}"
    with zipfile.ZipFile(f"{stem}-py3-none-any.whl") as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        about = {pathlib.PurePosixPath(name).name for name in wheel.namelist()} - held
    assert held == files("mer_jax", ROOT) and "mer_jax/py.typed" in held
    assert "LICENSE" in about
    with tarfile.open(f"{stem}.tar.gz") as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"README.md", "WORKSPACE.md", "LICENSE", "pyproject.toml"} <= names
    for folder in folders:
        assert files(folder, ROOT) <= names


WITHOUT_POSIX = """
import importlib, os, pathlib, signal, sys
import absl.app, chex, cv2, flax.nnx, jax, matplotlib.figure, ml_collections.config_flags
import openpyxl, optax, orbax.checkpoint, psutil, tensorflow_datasets
for name in "fcntl resource pwd grp termios tty pty posix".split():  # what Windows lacks
    sys.modules[name] = None
for name in "fork getloadavg getuid killpg mkfifo sched_getaffinity setsid sysconf uname".split():
    delattr(os, name)
for name in "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGQUIT SIGSTOP SIGUSR1 SIGUSR2".split():
    delattr(signal, name)
flags, count = absl.flags.FLAGS, 0
for folder in ("mer_jax", "experiments", "tools"):
    for path in sorted(pathlib.Path(folder).rglob("*.py")):
        known = set(flags)
        importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
        count += 1
        if "cli" in path.parts or folder == "tools":  # commands, with flags of the same names
            for name in set(flags) - known:
                delattr(flags, name)
print(count)
"""


@pytest.mark.e2e
def test_every_module_is_imported_without_posix():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


def resolved(path):
    """What `path` names where each part is an attribute, or a module that has to be imported."""
    parts = path.split(".")
    found = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], 2):
        if not hasattr(found, part) and inspect.ismodule(found):
            importlib.import_module(".".join(parts[:number]))
        found = getattr(found, part)
    return found


def test_every_dotted_path_in_the_documents_leads_somewhere():
    """`mer_jax.x.y` as one writes it behind `import mer_jax`, `from mer_jax.x import y`, and what
    a docstring names by its package or by a module beside it."""
    documents = [ROOT / "README.md", ROOT / "WORKSPACE.md"]
    documents += (
        path for folder in ("mer_jax", "tools", "experiments") for path in files_of(folder)
    )
    count = 0
    for path in documents:
        beside = {each.stem for each in path.parent.glob("*.py")} if path.suffix == ".py" else set()
        for word in re.findall(r"`([^`\n]+)`", path.read_text()):
            if match := re.fullmatch(r"from (mer_jax[\w.]*) import (\w+)", word):
                assert hasattr(importlib.import_module(match[1]), match[2]), (path, word)
            elif match := re.fullmatch(r"mer_jax\.[\w.]+", word):
                resolved(word)
            elif match := re.fullmatch(r"(\w+)\.(?!py$)(\w+)", word):
                package = "mer_jax" if match[1] in mer_jax._MODULES else None
                if match[1] in beside:
                    package = ".".join(path.relative_to(ROOT).parent.parts)
                if not package:
                    continue
                module = importlib.import_module(f"{package}.{match[1]}")
                there = hasattr(module, match[2]) or importlib.util.find_spec(
                    f"{module.__name__}.{match[2]}"
                )
                assert there, (path, word)
            count += bool(match)
    assert count > 30


def files_of(folder):
    return sorted((ROOT / folder).rglob("*.py"))
