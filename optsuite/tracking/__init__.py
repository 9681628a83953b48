"""Tracking: MLflow is the only store. Runs go in one by one and come back as one DataFrame. Nothing else imports mlflow."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # both are read when mlflow is imported
os.environ.setdefault(
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"
)  # two lines a run, with a server
