"""Tuning: which rates a study tries, and which one it chooses. Only this part imports optuna."""
