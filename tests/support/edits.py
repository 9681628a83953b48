"""Edits of a suite, read from the texts in `edited`.

`===` starts an edit with its name, `---` a file, `<<<` the edited file with the old text, `>>>` the
new text.
"""

import re
from dataclasses import dataclass
from pathlib import Path

HEADER = """
import torch
import torch.nn.functional as F
from torch import nn
from optsuite import OPTIMIZERS, Benchmark, LogUniform, OptimizerSpec, Splits, Suite, data, models

def line():
    x = torch.arange(384.0).reshape(128, 3) / 384
    y = x[:, :1]
    return Splits(train=(x[:64], y[:64]), validation=(x[64:96], y[64:96]), test=(x[96:], y[96:]))
def model():
    return nn.Linear(3, 1)
loss = F.mse_loss
def build(model, lr):
    return torch.optim.SGD(model.parameters(), lr=lr)
def unrelated():
    return 1
"""
FOOTER = """
SUITE = Suite(
    name="edited",
    benchmarks=(
        Benchmark(
            name="b", dataset=globals().get("dataset", line), model=model, loss=loss,
            batch_size=16, max_steps=6, eval_every=3,
        ),
    ),
    optimizers=(
        OPTIMIZERS["sgd"],
        OptimizerSpec(name="own", build=build, lr=LogUniform(low=1e-3, high=1.0)),
    ),
    n_trials=8,
    n_confirmation_seeds=0,
    n_seeds=4,
)
"""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Files by name, and what is replaced in one of them.

    A suite defines only what it does not take from HEADER.
    """

    name: str
    files: dict[str, str]
    edited: str
    old: str
    new: str

    def write(self, folder: Path, *, after: bool) -> Path:
        """Write the files as they are before or after the edit, and return the suite's path."""
        write(folder, self.files)
        path = folder / self.edited
        text = path.read_text()
        assert text.count(self.old) == 1, self.name
        path.write_text(text.replace(self.old, self.new) if after else text)
        return folder / "suite.py"


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files into a folder; suite.py is completed with what all suites share."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + text + FOOTER if name == "suite.py" else text)


def edits(name: str) -> list[Edit]:
    """The edits of a text."""
    text = (Path(__file__).parents[1] / "edited" / f"{name}.txt").read_text()
    found = []
    for part in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        body, change = re.split(r"^<<< ", part, maxsplit=1, flags=re.MULTILINE)
        title, *files = re.split(r"^--- ", body, flags=re.MULTILINE)
        edited, _, lines = change.partition("\n")
        old, new = re.split(r"\n>>>\n", lines, maxsplit=1)
        texts = {}
        for file in files:
            path, _, content = file.partition("\n")
            texts[path] = content
        new = new.removesuffix("\n")
        found.append(Edit(name=title.strip(), files=texts, edited=edited, old=old, new=new))
    return found
