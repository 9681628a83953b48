"""Tracking: MLflow is the only store, and only this part imports it.

Runs go in one by one and come back as one DataFrame.
"""

import os

# mlflow reads both when it is imported. The second suppresses two lines per run with a server.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
