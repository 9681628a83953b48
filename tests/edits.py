"""Edits of a suite, read from the texts in `edited`: `===` a name, `---` a file, `<<<` the file edited, `>>>` its new text."""

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
    return Splits(train=(x[:64], x[:64, :1]), validation=(x[64:96], x[64:96, :1]), test=(x[96:], x[96:, :1]))
dataset = line
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
    benchmarks=(Benchmark(name="b", dataset=dataset, model=model, loss=loss, batch_size=16, max_steps=6, eval_every=3),),
    optimizers=(OPTIMIZERS["sgd"], OptimizerSpec(name="own", build=build, lr=LogUniform(low=1e-3, high=1.0))),
    n_trials=8,
    n_seeds=4,
)
"""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Files by name, and what is replaced in one of them. A suite needs to define only what it does not take from HEADER."""

    name: str
    files: dict[str, str]
    edited: str
    old: str
    new: str

    def write(self, folder: Path, *, after: bool) -> Path:
        """Write the files as they are before or after the edit; the suite's path."""
        write(folder, self.files)
        path = folder / self.edited
        text = path.read_text()
        assert text.count(self.old) == 1, self.name
        path.write_text(text.replace(self.old, self.new) if after else text)
        return folder / "suite.py"


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files into a new folder, the suite's with what all suites share."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + text + FOOTER if name == "suite.py" else text)


def edits(name: str) -> list[Edit]:
    """The edits of a text."""
    text = (Path(__file__).parent / "edited" / f"{name}.txt").read_text()
    found = []
    for part in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        body, change = re.split(r"^<<< ", part, maxsplit=1, flags=re.MULTILINE)
        title, *files = re.split(r"^--- ", body, flags=re.MULTILINE)
        edited, _, lines = change.partition("\n")
        old, new = re.split(r"\n>>>\n", lines, maxsplit=1)
        texts = {file.partition("\n")[0]: file.partition("\n")[2] for file in files}
        found.append(
            Edit(
                name=title.strip(), files=texts, edited=edited, old=old, new=new.removesuffix("\n")
            )
        )
    return found
