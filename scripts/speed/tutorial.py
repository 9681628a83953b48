"""A comparison written from the tutorials of PyTorch, Optuna and MLflow, one run after another.

Digits, MLP 64-128-64-10, batch 64, 20 epochs, four optimizers. `python tutorial.py FOLDER TRIALS
SEEDS` tunes each rate in an Optuna study and trains the seeds at the best one. Every epoch logs
what optsuite measures: loss and accuracy on validation and test data, and the mean training loss.
"""

import sys
from collections.abc import Callable
from functools import partial

import mlflow
import optuna
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 20
BATCH_SIZE = 64
Build = Callable[..., torch.optim.Optimizer]
OPTIMIZERS: dict[str, tuple[Build, float, float]] = {
    "momentum": (partial(torch.optim.SGD, momentum=0.9), 1e-4, 1.0),
    "adam": (torch.optim.Adam, 1e-5, 1e-1),
    "adagrad": (torch.optim.Adagrad, 1e-4, 1.0),
    "rmsprop": (torch.optim.RMSprop, 1e-5, 1e-1),
}


def datasets() -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    x_train, x_rest, y_train, y_rest = train_test_split(x, y, test_size=720, random_state=0)
    x_validation, x_test, y_validation, y_test = train_test_split(
        x_rest, y_rest, test_size=360, random_state=0
    )
    return (
        TensorDataset(x_train, y_train),
        TensorDataset(x_validation, y_validation),
        TensorDataset(x_test, y_test),
    )


def evaluate(model: nn.Module, loader: DataLoader[tuple[torch.Tensor, ...]]) -> tuple[float, float]:
    model.eval()
    loss, correct, n = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            outputs = model(x)
            loss += F.cross_entropy(outputs, y, reduction="sum").item()
            correct += int((outputs.argmax(dim=1) == y).sum().item())
            n += len(y)
    return loss / n, correct / n


def train(
    name: str, lr: float, seed: int, data: tuple[TensorDataset, TensorDataset, TensorDataset]
) -> float:
    """Train one run, log it epoch by epoch, and return its lowest validation loss."""
    torch.manual_seed(seed)
    loader = DataLoader(data[0], batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
    validation, test = (DataLoader(part, batch_size=BATCH_SIZE) for part in data[1:])
    model = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    optimizer = OPTIMIZERS[name][0](model.parameters(), lr=lr)
    best = float("inf")
    with mlflow.start_run(run_name=f"{name} lr={lr:.3g} seed={seed}"):
        mlflow.log_params(
            {"optimizer": name, "lr": lr, "seed": seed, "batch_size": BATCH_SIZE, "epochs": EPOCHS}
        )
        for epoch in range(EPOCHS):
            model.train()
            total = 0.0
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += loss.item()
            mlflow.log_metric("train/loss", total / len(loader), step=epoch)
            for split, examples in (("validation", validation), ("test", test)):
                mean, accuracy = evaluate(model, examples)
                mlflow.log_metric(f"{split}/loss", mean, step=epoch)
                mlflow.log_metric(f"{split}/accuracy", accuracy, step=epoch)
                best = min(best, mean) if split == "validation" else best
    return best


def main() -> None:
    folder, n_trials, n_seeds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("digits_mlp")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = datasets()
    for name, (_, low, high) in OPTIMIZERS.items():

        def objective(
            trial: optuna.Trial, name: str = name, low: float = low, high: float = high
        ) -> float:
            return train(name, trial.suggest_float("lr", low, high, log=True), 0, data)

        study = optuna.create_study(direction="minimize")
        study.optimize(objective, n_trials=n_trials)
        for seed in range(1, n_seeds + 1):
            train(name, study.best_params["lr"], seed, data)


if __name__ == "__main__":
    main()
