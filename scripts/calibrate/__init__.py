"""Tunes a suite again and again, and asks how often the verdicts would have been wrong."""
