from pathlib import Path

import numpy as np
import pytest
import torch

from optsuite import accuracy, data, models
from optsuite.errors import DatasetUnavailable
from optsuite.training.plain import measure


def test_digits_are_split_once_and_for_all() -> None:
    splits = data.digits()
    assert [len(split[0]) for split in (splits.train, splits.validation, splits.test)] == [1_077, 360, 360]
    x = torch.cat([splits.train[0], splits.validation[0], splits.test[0]])
    assert x.shape == (1_797, 64)
    assert (x.min().item(), x.max().item()) == (0, 1)
    again = data.digits()
    assert torch.equal(splits.train[0], again.train[0])
    assert torch.equal(data.digits_images().test[0].flatten(1), splits.test[0])


def test_splitting_keeps_every_example_once() -> None:
    x = torch.arange(10)
    splits = data.split_randomly(x, x, n_validation=3, n_test=2)
    parts = [splits.train[0], splits.validation[0], splits.test[0]]
    assert [len(part) for part in parts] == [5, 3, 2]
    assert sorted(torch.cat(parts).tolist()) == list(range(10))


def test_mnist_is_the_published_dataset() -> None:
    if not (data.data_root() / "MNIST").is_dir():
        pytest.skip("needs MNIST in OPTSUITE_DATA")
    splits = data.mnist()
    assert [tuple(part[0].shape) for part in (splits.train, splits.validation, splits.test)] == [
        (50_000, 784),
        (10_000, 784),
        (10_000, 784),
    ]
    assert torch.bincount(splits.test[1]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    x = torch.cat([splits.train[0], splits.validation[0]])
    assert x.mean().item() == pytest.approx(0, abs=1e-3)
    assert x.std().item() == pytest.approx(1, abs=1e-3)


def test_a_missing_dataset_is_named_and_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])  # nothing listens there
    monkeypatch.setenv("OPTSUITE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetUnavailable, match=r"dataset: MNIST is not in .*nowhere"):
        data.mnist()
    assert list(tmp_path.iterdir()) == []


def test_quadratic_is_the_published_problem() -> None:
    from benchmarks.quadratic_deep import BENCHMARK

    model = BENCHMARK.model()
    values = measure(BENCHMARK, model, BENCHMARK.dataset(), 0)
    assert values["test/loss"] == pytest.approx(353.4468, abs=1e-4)  # before training, as DeepOBS has it
    hessian = model.hessian
    assert isinstance(hessian, torch.Tensor)
    eigenvalues = np.linalg.eigvalsh(hessian.double().numpy())
    assert ((eigenvalues > -1e-4) & (eigenvalues < 1)).sum() == 90
    assert ((eigenvalues > 30) & (eigenvalues < 60)).sum() == 10


def test_quadratic_equals_its_formula() -> None:
    hessian = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    outputs = models.Quadratic(hessian)(torch.tensor([[0.0, 3.0]]))
    assert outputs.tolist() == [0.5 * (1 * 2 * 1 + 2 * (1 * 1 * -2) + -2 * 3 * -2)]


def test_accuracy_is_a_fraction() -> None:
    outputs = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    assert accuracy(outputs, torch.tensor([1, 0, 0, 0])) == 0.75


def test_mlp_has_no_activation_at_its_end() -> None:
    assert [type(layer).__name__ for layer in models.mlp((4, 3, 2))] == ["Linear", "ReLU", "Linear"]
