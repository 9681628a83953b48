"""The small suite that `mutations.py` edits: two benchmarks, two optimizers, in modules that import each other."""
