"""No module runs code that it reads as data."""

import ast
import re
from pathlib import Path

import pytest
from support.package import FILES, ROOT

UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
UNSAFE_NAMES = {"load", "system", "popen", "read_pickle"}  # of any module
UNSAFE_CALLS = {
    "eval",
    "exec",
    "compile",
    "FunctionType",
    "types.FunctionType",
    "__import__",
    "os.system",
    "os.popen",
    "yaml.load",
    "pd.read_pickle",
}
# Loaders, each with the option that makes it safe, and its safe values.
SAFE = {"torch.load": ("weights_only", (True,)), "np.load": ("allow_pickle", (False, None))}
ALLOWED = {
    "training/canonical/source.py": ["compile"],  # inspects compiled code, and runs none of it
    "execution/suite_source.py": ["pickle"],  # written by the driver for its own workers
}
IMPORTERS = {
    # modules that the user names, and packages named in ours
    "import_path.py",
    "registry.py",
    "optimizers/packaged.py",
    # parts of optsuite itself
    "training/canonical/contents.py",
}


def dangers(source: str) -> list[str]:
    """The imports and calls in the source that could run what they read."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if _is_unsafe_module(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = {alias.name for alias in node.names}
            if _is_unsafe_module(module) or names & UNSAFE_NAMES:
                found.append(module)
        elif isinstance(node, ast.Call) and _is_unsafe_call(node):
            found.append(ast.unparse(node.func))
    return found


def _is_unsafe_module(name: str) -> bool:
    return name.partition(".")[0] in UNSAFE_MODULES


def _is_unsafe_call(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    options: dict[str | None, object] = {}
    for keyword in call.keywords:
        options[keyword.arg] = getattr(keyword.value, "value", "unknown")
    if name in UNSAFE_CALLS or options.get("shell", False) is not False:
        return True
    option, safe = SAFE.get(name.replace("numpy.", "np."), ("", (None,)))
    return options.get(option) not in safe


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_runs_nothing_that_it_reads(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    source = path.read_text()
    assert dangers(source) == ALLOWED.get(name, [])
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    called = " ".join(ast.unparse(call.func) for call in calls)
    if re.search(r"exec_module|import_module|spec_from_file", called):
        assert name in IMPORTERS


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.externals",
        "from marshal import loads",
        "from torch import load",
        "eval(x)",
        "os.system(x)",
        "subprocess.run(x, shell=True)",
        "subprocess.Popen(x, shell=y)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=y)",
    ],
)
def test_dangers_finds_unsafe_code(source: str) -> None:
    assert len(dangers(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(x, weights_only=True)",
        "np.load(x)",
        "np.load(x, allow_pickle=False)",
        "subprocess.run([x])",
    ],
)
def test_dangers_finds_nothing_in_safe_code(source: str) -> None:
    assert dangers(source) == []
