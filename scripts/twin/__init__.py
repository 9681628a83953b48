"""The small suite that `mutations.py` edits: two benchmarks, two optimizers, in several modules."""
