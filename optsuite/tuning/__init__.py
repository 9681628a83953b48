"""Tuning: which rates a study tries, and which it takes. Nothing else imports optuna."""
