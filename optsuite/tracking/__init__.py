"""Tracking: MLflow is the only store. Runs go in one by one and come back as one DataFrame. Nothing else imports mlflow."""
