"""Embedded and synthetic data, metrics and models; real downloads are in test_real_data."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import SUITE, VISION, shakespeare_gpt
from optsuite import Benchmark, Splits, accuracy, data, models
from optsuite.registry import find_benchmark
from optsuite.training.plain import initial_model, measure
from optsuite.training.validation.definitions import check_benchmark


def test_digits_split_is_fixed() -> None:
    splits = data.digits()
    assert [len(split[0]) for split in (splits.train, splits.validation, splits.test)] == [
        1_077,
        360,
        360,
    ]
    x = torch.cat([splits.train[0], splits.validation[0], splits.test[0]])
    assert x.shape == (1_797, 64)
    assert (x.min().item(), x.max().item()) == (0, 1)
    again = data.digits()
    assert torch.equal(splits.train[0], again.train[0])
    assert torch.equal(data.digits_images().test[0].flatten(1), splits.test[0])
    assert torch.equal(data.digits_autoencoding().validation[1], splits.validation[0])


def test_splitting_keeps_every_example_once() -> None:
    x = torch.arange(10)
    splits = data.split_randomly(x, x, n_validation=3, n_test=2)
    parts = [splits.train[0], splits.validation[0], splits.test[0]]
    assert [len(part) for part in parts] == [5, 3, 2]
    assert sorted(torch.cat(parts).tolist()) == list(range(10))
    validation, test = data.halved(x[:7], -x[:7])
    assert (validation[0].tolist(), test[1].tolist()) == ([0, 2, 4, 6], [-1, -3, -5])


def test_diabetes_is_standardized_on_its_training_split() -> None:
    splits = data.diabetes()
    assert [tuple(part.shape) for part in splits.train] == [(266, 10), (266, 1)]
    for part in splits.train:
        assert part.mean(dim=0).abs().max() < 1e-5
        assert part.std(dim=0).tolist() == pytest.approx([1.0] * part.shape[1], abs=1e-5)
    assert 0.01 < splits.test[0].mean(dim=0).abs().max() < 0.5


def test_modular_addition_has_every_pair_once() -> None:
    splits = data.modular_addition(5)
    x = torch.cat([splits.train[0], splits.validation[0], splits.test[0]]).long()
    y = torch.cat([splits.train[1], splits.validation[1], splits.test[1]])
    assert len(splits.train[0]) == 13
    assert len({(a, b) for a, b, _ in x.tolist()}) == 25
    assert set(x[:, 2].tolist()) == {5}
    assert torch.equal((x[:, 0] + x[:, 1]) % 5, y)


def test_quadratic_is_the_published_problem() -> None:
    benchmark = find_benchmark(SUITE, "quadratic_deep")
    model = benchmark.model()
    values = measure(benchmark, model, benchmark.dataset(), 0)
    # The loss before training, as in DeepOBS.
    assert values["test/loss"] == pytest.approx(353.4468, abs=1e-4)
    hessian = model.hessian
    assert isinstance(hessian, Tensor)
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


# What is prepared in the first layers of a model.


def images(n: int = 64, channels: int = 3, size: int = 6) -> Tensor:
    return torch.randint(
        256,
        (n, channels, size, size),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )


def test_normalizing_is_by_channel() -> None:
    x = models.Normalise((0.5, 0.0, 0.0), (0.1, 1.0, 2.0))(
        torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    )
    assert x.flatten().tolist() == pytest.approx([5.0, 1.0, 0.5])
    x = models.PerImage()(images().float())
    assert x.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert x.std(dim=(1, 2, 3), correction=0).tolist() == pytest.approx([1.0] * 64, abs=1e-4)
    assert models.PerImage()(torch.full((1, 3, 4, 4), 7.0)).abs().max() == 0


@pytest.mark.parametrize(
    "layer",
    [models.RandomFlip(), models.RandomCrop(2), models.RandomColours()],
    ids=lambda layer: type(layer).__name__,
)
def test_augmentation_is_for_training_and_differs_between_images(layer: nn.Module) -> None:
    x = images(1).float().expand(64, -1, -1, -1)
    assert layer.eval()(x) is x
    torch.manual_seed(0)
    changed = layer.train()(x)
    assert changed.shape == x.shape
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 1
    torch.manual_seed(0)
    assert torch.equal(layer(x), changed)


def test_crop_is_a_window_of_the_padded_image() -> None:
    torch.manual_seed(0)
    x = images()
    padded = F.pad(x, (1, 1, 1, 1))
    windows = [
        padded[:, :, top : top + 6, left : left + 6] for top in range(3) for left in range(3)
    ]
    cropped = models.RandomCrop(1)(x)
    found = [[torch.equal(cropped[i], window[i]) for window in windows] for i in range(64)]
    assert all(any(hits) for hits in found)
    assert {hits.index(True) for hits in found} == set(range(9))


def test_color_changes_keep_the_hue() -> None:
    torch.manual_seed(0)
    grey = models.RandomColours()(torch.full((8, 3, 4, 4), 100.0))
    assert torch.allclose(grey, grey[:, :1].expand_as(grey))  # grey stays grey
    assert (grey.mean(dim=(1, 2, 3)) - 100).abs().max() <= 63 / 255 + 1e-4


# Every benchmark that needs a download, on random examples with the shapes and dtypes of its data.


def examples(n: int, *shape: int, high: int = 256) -> Tensor:
    return torch.randint(
        high, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def labelled(n: int, *shape: int) -> tuple[Tensor, Tensor]:
    return examples(n, *shape), examples(n, high=10).long()


MNIST, CIFAR, TEXT = labelled(128, 1, 28, 28), labelled(128, 3, 32, 32), examples(12, 64, high=65)
DOWNLOADED = (*VISION, shakespeare_gpt.BENCHMARK)
LIKE = {
    "mnist_mlp": (MNIST, 101_770),
    "mnist_vae": ((MNIST[0], MNIST[0]), 10_151_489),
    "fashion_mnist_2c2d": (MNIST, 3_274_634),
    "cifar10_3c3d": (CIFAR, 895_210),
    "cifar10_resnet": (CIFAR, 11_173_962),
    "shakespeare_gpt": ((TEXT, TEXT), 804_096),
}


@pytest.mark.parametrize("benchmark", DOWNLOADED, ids=lambda benchmark: benchmark.name)
def test_benchmarks_that_need_a_download_train_on_examples_of_their_shape(
    benchmark: Benchmark,
) -> None:
    split, n_parameters = LIKE[benchmark.name]
    few = (split[0][:12], split[1][:12])
    check_benchmark(replace(benchmark, batch_size=12), Splits(train=few, validation=few, test=few))
    assert (
        sum(parameter.numel() for parameter in initial_model(benchmark, 0).parameters())
        == n_parameters
    )


def test_weights_start_as_published() -> None:
    torch.manual_seed(0)
    weights = [p.detach() for p in models.cnn_2c2d().parameters()]
    assert max(p.abs().max().item() for p in weights if p.ndim > 1) <= 0.1
    assert all((p == 0.05).all() for p in weights if p.ndim == 1)
    assert torch.cat([p.flatten() for p in weights if p.ndim > 1]).std().item() == pytest.approx(
        0.05 * 0.8796, rel=0.01
    )
    _, penalty = models.cnn_3c3d().eval()(CIFAR[0][:2])
    # DeepOBS: a total of 3.63 before training, of which guessing accounts for 2.3 to 2.4.
    assert penalty.item() == pytest.approx(1.26, abs=0.01)


def test_penalty_is_in_the_loss_and_not_in_the_metric() -> None:
    outputs, targets = torch.tensor([[5.0, 0.0]]), torch.tensor([0])
    assert models.penalised(
        F.cross_entropy, (outputs, torch.tensor(2.0)), targets
    ).item() == pytest.approx(2.0067, abs=1e-4)
    assert models.unpenalised(accuracy, (outputs, torch.tensor(2.0)), targets).item() == 1


def test_evidence_loss_equals_its_formula() -> None:
    image = torch.tensor([[[[255, 0]]]], dtype=torch.uint8)
    outputs = (torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0]]), torch.tensor([[0.5]]))
    assert models.evidence_loss(outputs, image).item() == pytest.approx(
        0.5 - 0.5 * (1 + 1 - 1 - math.e)
    )


def test_transformer_output_is_independent_of_later_tokens() -> None:
    torch.manual_seed(0)
    model = models.Transformer(n_tokens=11, context=8, width=16, n_heads=2, n_layers=2)
    x = examples(3, 8, high=11)
    changed = x.clone()
    changed[:, 5:] = 0
    same = (model(x) - model(changed)).abs().amax(dim=(0, 2)) < 1e-6
    assert same.tolist() == [True] * 5 + [False] * 3
    assert models.next_character(model(x), x).item() == pytest.approx(math.log(11), abs=0.3)
