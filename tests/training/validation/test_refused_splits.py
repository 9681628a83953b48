"""Splits that are not tensors, dtypes that do not fit and labels out of range are named."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from support.refusals import CLASSES, LINE, WORDS, classes, flawed, refusal, words

from optsuite import Benchmark, Splits

X, Y = torch.zeros(4, 3), torch.zeros(4, 1)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            (X.numpy(), Y.numpy()),
            "its inputs: got numpy.ndarray of dtype float32, "
            "allowed: a torch.Tensor; use torch.from_numpy",
        ),
        (
            (X, Y.numpy()),
            "its targets: got numpy.ndarray of dtype float32, "
            "allowed: a torch.Tensor; use torch.from_numpy(...)",
        ),
        (
            (X.tolist(), Y),
            "its inputs: got list, allowed: a torch.Tensor; use torch.as_tensor(...)",
        ),
        (
            (X, ["a", "b"]),
            "its targets: got list, allowed: a torch.Tensor; encode what are not numbers first",
        ),
        ((np.array(["a"]), Y), "encode what are not numbers first"),
        (
            (pd.DataFrame({"a": [1.0]}), Y),
            "its inputs: got pandas.DataFrame, allowed: a torch.Tensor; use torch.as_tensor(....to",
        ),
        ((X, 3), "its targets: got int, allowed: a torch.Tensor"),
        ((X, torch.tensor(3.0)), "its targets: got a tensor without dimensions"),
        (
            (X.to_sparse(), Y),
            "got a tensor of layout torch.sparse_coo, allowed: a dense one; use .to_dense()",
        ),
        (
            (X.clone().requires_grad_(), Y),
            "got a tensor that requires gradients, allowed: plain values; use .detach()",
        ),
        ((X.to("meta"), Y), "got a tensor on the device meta"),
        (
            (X, Y, Y),
            "validation split: got a tuple of 3, allowed: a tuple (inputs, targets) of two tensors",
        ),
        ((X,), "validation split: got a tuple of 1, allowed: a tuple (inputs, targets)"),
        (
            [X, Y],
            "validation split: got a list of 2, allowed: a tuple (inputs, targets) of two tensors",
        ),
        (
            torch.utils.data.TensorDataset(X, Y),
            "validation split: got a TensorDataset, allowed: a tuple",
        ),
        (
            (X, Y[:3]),
            "validation split: got 4 inputs and 3 targets, "
            "allowed: as many inputs as targets, at least one",
        ),
        (
            (X[:0], Y[:0]),
            "validation split: got 0 inputs and 0 targets, "
            "allowed: as many inputs as targets, at least one",
        ),
    ],
)
def test_split_that_is_not_a_pair_of_tensors_is_named(split: Any, message: str) -> None:
    def dataset() -> Splits:
        return Splits(train=(X, Y), validation=split, test=(X, Y))

    line = refusal(replace(LINE, dataset=dataset))
    assert line.startswith("benchmark line: its dataset validation split:")
    assert message in line


def cast(benchmark: Benchmark, dtype: torch.dtype, part: int) -> Benchmark:
    """The benchmark with its inputs (part 0) or targets (part 1) of another dtype."""

    def dataset() -> Splits:
        pairs = {}
        for name, (x, y) in vars(benchmark.dataset()).items():
            pairs[name] = (x.to(dtype), y) if part == 0 else (x, y.to(dtype))
        return Splits(**pairs)

    return replace(benchmark, dataset=dataset)


BINARY = replace(LINE, loss=F.binary_cross_entropy_with_logits)
HUBER = replace(LINE, loss=F.huber_loss)
UNFIT = [
    (LINE, torch.long, 0, "got inputs of dtype torch.int64, allowed: torch.float32; use"),
    (LINE, torch.uint8, 0, "got inputs of dtype torch.uint8, allowed: torch.float32"),
    (LINE, torch.bool, 0, "got inputs of dtype torch.bool, allowed: torch.float32"),
    (WORDS, torch.float32, 0, "got inputs of dtype torch.float32, allowed: torch.int64"),
    (CLASSES, torch.float32, 1, "got targets of dtype torch.float32, allowed: torch.int64"),
    (CLASSES, torch.int32, 1, "got targets of dtype torch.int32, allowed: torch.int64"),
    (CLASSES, torch.bool, 1, "got targets of dtype torch.bool, allowed: torch.int64"),
    (BINARY, torch.bool, 1, "got targets of dtype torch.bool, allowed: torch."),
    (HUBER, torch.long, 1, "got targets of dtype torch.int64, allowed: torch.float32"),
]


@pytest.mark.parametrize(("benchmark", "dtype", "part", "message"), UNFIT)
def test_dtype_that_does_not_fit_is_named(
    benchmark: Benchmark, dtype: torch.dtype, part: int, message: str
) -> None:
    assert message in refusal(cast(benchmark, dtype, part))


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        (
            replace(CLASSES, dataset=flawed(classes, "train", 1, 2, 5)),
            "its loss, given outputs (8, 4) and targets (8,), "
            "got labels from 0 to 5, allowed: 0 to 3, as the outputs have 4",
        ),
        (
            replace(CLASSES, dataset=flawed(classes, "train", 1, 47, 4)),
            "got labels from 0 to 4, allowed: 0 to 3",
        ),
        (
            replace(CLASSES, dataset=flawed(classes, "train", 1, 40, -1)),
            "got labels from -1 to 3, allowed: 0 to 3",
        ),
        (
            replace(CLASSES, dataset=flawed(classes, "validation", 1, 20, 7)),
            "validation split, rows",
        ),
        (replace(CLASSES, dataset=flawed(classes, "test", 1, 23, 7)), "test split, rows"),
        (
            replace(WORDS, dataset=flawed(words, "train", 0, (40, 2), 20)),
            "got inputs from 0 to 20, allowed: 0 to 19, the rows",
        ),
        (
            replace(WORDS, dataset=flawed(words, "test", 0, (3, 0), 99)),
            "to 99, allowed: 0 to 19, the rows of its embedding",
        ),
    ],
)
def test_label_or_word_out_of_range_is_named(benchmark: Benchmark, message: str) -> None:
    line = refusal(benchmark)
    assert line.startswith(f"benchmark {benchmark.name}: its ")
    assert message in line
