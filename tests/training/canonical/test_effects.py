"""Which functions count as changing globals; functions of tests are nobody's own, so files are."""

import importlib.util
from pathlib import Path

import pytest

from optsuite.training.canonical.effects import changes_globals

MODULE = """
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

SEEN = []
TABLE = {{"a": []}}


def dataset():
    x = torch.ones(2)
    own = []
    {line}
    return x
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SEEN.append(x)", True),
        ("TABLE['a'].append(x)", True),
        ("TABLE['b'] = x", True),
        ("np.random.extra = 1", True),
        ("torch.backends.seen.append(x)", True),
        ("x = torch.add(x, 1)", False),
        ("x = np.append(x, 1)", False),
        ("x = torch.linalg.pop(x)", False),
        ("x = torch.ones(2).add(1)", False),
        ("own.append(x)", False),
        ("x[0] = 1", False),
        ("own += SEEN", False),
    ],
)
def test_globals_count_as_changed_only_if_a_line_reaches_into_them(
    line: str, expected: bool, tmp_path: Path
) -> None:
    file = tmp_path / "sets.py"
    file.write_text(MODULE.format(line=line))
    spec = importlib.util.spec_from_file_location("sets", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert changes_globals(module.dataset) is expected
