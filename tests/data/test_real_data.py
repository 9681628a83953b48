"""Real MNIST and Shakespeare, if they are in OPTSUITE_DATA; and missing or damaged datasets."""

import os
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import mnist_mlp, mnist_vae, shakespeare_gpt
from optsuite import Benchmark, Splits, data
from optsuite.errors import DatasetUnavailableError
from optsuite.registry import find_optimizer
from optsuite.training.plain import initial_model, measure, train
from optsuite.training.results import Measurement, Run


def needs(folder: str) -> pytest.MarkDecorator:
    files = [
        *(data.data_root() / folder).rglob("*-ubyte"),
        *(data.data_root() / folder).glob("input.txt"),
    ]
    there = "OPTSUITE_DATA" in os.environ and files
    return pytest.mark.skipif(not there, reason=f"needs {folder} in OPTSUITE_DATA")


@needs("MNIST")
def test_mnist_is_the_published_dataset() -> None:
    splits = data.mnist()
    shapes = [tuple(part[0].shape) for part in (splits.train, splits.validation, splits.test)]
    assert shapes == [(50_000, 1, 28, 28), (10_000, 1, 28, 28), (10_000, 1, 28, 28)]
    assert splits.train[0].dtype == torch.uint8
    assert torch.bincount(splits.test[1]).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    layer = initial_model(mnist_mlp.BENCHMARK, 0)[0]  # type: ignore[index]
    x = layer(torch.cat([splits.train[0], splits.validation[0]]))
    assert x.mean().item() == pytest.approx(0, abs=1e-3)
    assert x.std().item() == pytest.approx(1, abs=1e-3)


@needs("MNIST")
def test_published_problems_train_on_all_training_images() -> None:
    splits = data.mnist_autoencoding(n_test=9_984)
    assert [len(split[0]) for split in (splits.train, splits.validation, splits.test)] == [
        60_000,
        4_992,
        4_992,
    ]
    assert splits.train[0] is splits.train[1]
    whole = data.mnist()
    assert torch.equal(splits.test[0][0], whole.test[0][1])


def curve(
    benchmark: Benchmark, optimizer: str, lr: float, *, n_steps: int, splits: Splits
) -> Sequence[Measurement]:
    from benchmarks import SUITE

    short = replace(benchmark, max_steps=n_steps, eval_every=n_steps)
    run = Run(benchmark=benchmark.name, optimizer=optimizer, lr=lr, seed=0, kind="trial")
    updates = train(short, find_optimizer(SUITE, optimizer), [run], splits)
    return [update for _, update in updates if isinstance(update, Measurement)]


@needs("MNIST")
def test_mnist_mlp_learns() -> None:
    splits = mnist_mlp.BENCHMARK.dataset()
    last = curve(mnist_mlp.BENCHMARK, "adam", 0.003, n_steps=400, splits=splits)[-1]
    assert last.values["validation/accuracy"] > 0.93


@needs("MNIST")
def test_mnist_vae_starts_at_published_loss_and_learns() -> None:
    splits = mnist_vae.BENCHMARK.dataset()
    few = Splits(
        train=splits.train,
        **{k: (v[0][:500], v[1][:500]) for k, v in vars(splits).items() if k != "train"},
    )
    first, last = curve(mnist_vae.BENCHMARK, "adam", 1.585e-4, n_steps=12, splits=few)
    assert first.values["test/loss"] == pytest.approx(181.5, abs=1.5)
    assert last.values["test/loss"] < 150
    model = initial_model(mnist_vae.BENCHMARK, 0)
    again = [measure(mnist_vae.BENCHMARK, model, few, seed) for seed in (0, 0, 1)]
    # The latent code is random, but the same whenever one run is measured.
    assert again[0] == again[1] != again[2]


@needs("tinyshakespeare")
def test_shakespeare_is_cut_into_windows_that_predict_the_next_character() -> None:
    splits = data.tinyshakespeare()
    x, y = splits.train
    assert len(x) == 1_003_854 - 64
    assert (int(max(x.max(), y.max())), x.dtype) == (64, torch.uint8)
    assert torch.equal(x[1], y[0])
    assert torch.equal(splits.validation[0][1, 0], splits.validation[1][0, -1])
    shared = {
        tensor.untyped_storage().data_ptr() for split in vars(splits).values() for tensor in split
    }
    assert len(shared) == 1


@needs("tinyshakespeare")
def test_shakespeare_gpt_learns() -> None:
    splits = shakespeare_gpt.BENCHMARK.dataset()
    few = Splits(
        train=splits.train,
        **{k: (v[0][:50], v[1][:50]) for k, v in vars(splits).items() if k != "train"},
    )
    first, last = curve(
        shakespeare_gpt.BENCHMARK, "adamw+warmup_cosine", 0.003, n_steps=80, splits=few
    )
    assert first.values["validation/loss"] == pytest.approx(np.log(65), abs=0.05)
    assert last.values["validation/loss"] < 3.0


DOWNLOADS = {
    "MNIST": data.mnist,
    "FashionMNIST": partial(data.fashion_mnist_whole, 10),
    "CIFAR10": data.cifar10,
    "tinyshakespeare": data.tinyshakespeare,
}


@pytest.mark.parametrize(("name", "dataset"), DOWNLOADS.items(), ids=DOWNLOADS)
def test_missing_dataset_is_named_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dataset: Callable[[], Splits]
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setenv("OPTSUITE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetUnavailableError, match=rf"dataset: {name} is not in .*nowhere"):
        dataset()
    assert list(tmp_path.iterdir()) == []


def test_damaged_dataset_is_named_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTSUITE_DATA", str(tmp_path))
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text("To be" * 1_000)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"\0" * 16)
    for name, dataset in (("tinyshakespeare", data.tinyshakespeare), ("MNIST", data.mnist)):
        with pytest.raises(
            DatasetUnavailableError,
            match=rf"dataset: {name} in {tmp_path}.* is damaged \(.*\); remove it, or set",
        ):
            dataset()
