"""The shape of the package: who may import whom, what importing costs, what no file may contain."""

import ast
import importlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import headstart
from headstart import plugins

ROOT = Path(headstart.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# The layers of the design, lowest first, with what the code added since. A module imports only from layers below
# its own, or from its own package. ``tasks`` lies below what fits and trains heads, since heads live in tasks.
# ``runs`` needs only configuration and atomic files; ``__init__`` resolves its names by strings, so what
# others take from it (the version) costs them nothing: it lies at the bottom.
LAYERS = (
    {"__init__", "errors"},
    {"config", "plugins", "progress", "store", "metrics", "places", "shift"},
    {"data"},
    {"models"},
    {"synthetic", "tasks"},
    {"balancing", "features", "mixing", "penalties", "solvers", "training", "tuning"},
    {"auxiliary", "probing"},
    {"predictor", "selection", "stagewise", "views"},
    {"approaches"},
    {"adaptation", "ranking"},
    {"evaluation"},
    {"report", "export", "serve"},
    {"runs"},
    {"defaults"},
    {"advising", "auditing"},
    {"candidates", "comparing", "trials"},
    {"gathering", "targets"},
    {"performing"},
    {"fitting"},
    {"augmenting", "demonstration", "depths", "search"},
    {"verbs"},
    {"cli", "launching"},
    {"__main__"},
)
# ``store`` says when it cannot be used, in the words of ``progress``; ``shift`` says what it cut down or
# approximated, and finds its methods as variants; ``plugins`` reads the settings of a variant as ``config`` reads all.
SAME_LAYER = {("plugins", "config"), ("store", "progress"), ("shift", "progress"), ("shift", "plugins")}
# Variants that build on a sibling. FineTune is LP-FT: it starts from the fitted head of a probe. What the surgical tuning
# chooses is the tuning that names stages, and what auto chooses is gradual, so that their choices can be repeated.
SIBLINGS = {("approaches.finetune", "approaches.probe"), ("tuning.surgical", "tuning.stages"), ("tuning.auto", "tuning.full")}
VARIANTS = (
    "ranking.scorers",
    "approaches",
    "auditing",
    "solvers",
    "auxiliary",
    "balancing",
    "probing",
    "tuning",
    "penalties",
    "mixing",
    "tasks",
    "evaluation.raw",
    "models.zoo",
    "data.readers",
    "data.modalities",
    "data.augment.image",
    "data.augment.text",
    "data.augment.audio",
    "synthetic",
    "shift",
    "selection",
    "verbs",
)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path) -> set[str]:
    """The modules of headstart that a file imports anywhere, functions included, type checking excluded."""
    tree = ast.parse(path.read_text("utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            for alias in node.names:  # from a.b import c is module a.b.c where there is one
                inner = ROOT.joinpath(*base.split(".")[1:], alias.name)
                found.add(f"{base}.{alias.name}" if inner.with_suffix(".py").exists() or inner.is_dir() else base)
    inside = {name for name in found if name.split(".")[0] == "headstart"}
    return {name.removeprefix("headstart").removeprefix(".") or "__init__" for name in inside}


def layer(name: str) -> int:
    top = name.split(".")[0]
    return next(i for i, members in enumerate(LAYERS) if top in members)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_downwards(path: Path) -> None:
    own = name_of(path)
    for other in imports(path):
        here, there = own.split(".")[0], other.split(".")[0]
        if here != there and (here, there) not in SAME_LAYER:
            assert layer(other) < layer(own), f"{own} imports {other}, which is not below it"


def test_exceptions_are_still_needed() -> None:
    taken = {(name_of(path), other) for path in MODULES for other in imports(path)}
    assert taken >= SIBLINGS
    assert {(here.split(".")[0], there.split(".")[0]) for here, there in taken} >= SAME_LAYER


def test_the_parser_sees_imports_inside_functions(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("import headstart\ndef f():\n    from headstart.models import zoo\n    import headstart.store\n")
    assert imports(path) == {"__init__", "models.zoo", "store"}


@pytest.mark.parametrize("package", VARIANTS)
def test_no_variant_imports_a_sibling(package: str) -> None:
    names = set(plugins.names(package))
    for name in names:
        path = ROOT.joinpath(*package.split("."), f"{name}.py")
        siblings = {f"{package}.{other}" for other in names - {name}} & imports(path)
        assert {(f"{package}.{name}", sibling) for sibling in siblings} <= SIBLINGS


def test_import_loads_nothing_heavy() -> None:
    heavy = ["torch", "torchvision", "timm", "PIL", "sklearn", "scipy", "numpy", "rich", "typer"]
    code = f"import sys, headstart; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_answers_at_once() -> None:
    command = [sys.executable, "-m", "headstart", "--help"]
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - begun)
    assert "fit" in done.stdout and "predict" in done.stdout
    busy = os.getloadavg()[0] > (os.cpu_count() or 1) or "CI" in os.environ
    assert min(times) < 0.3 * (3 if busy else 1), times  # seconds, the start of Python included


def test_public_names_resolve() -> None:
    for name in headstart.__all__:
        assert getattr(headstart, name) is not None
    assert len(set(headstart.__all__)) == len(headstart.__all__)
    assert set(headstart.__all__) == set(dir(headstart))
    with pytest.raises(AttributeError, match="nonsense"):
        headstart.nonsense  # noqa: B018


def test_every_module_imports() -> None:
    for path in MODULES:
        if (name := name_of(path)) != "__main__":
            importlib.import_module(f"headstart.{name}" if name != "__init__" else "headstart")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_file_is_long_or_unsafe(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= 400
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            assert not {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"} & {n.split(".")[0] for n in names}
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in ("eval", "exec"), f"line {node.lineno}"
        assert "pickle" not in called
        if called == "torch.load" or called.endswith("load_state_dict_from_url"):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert given.get("weights_only") == "True", f"line {node.lineno}"
        if re.search(r"(^|\.)np\.load$|open_memmap", called):
            assert "allow_pickle" not in {keyword.arg for keyword in node.keywords}
