"""What users write: benchmarks, optimizers and suites, each checked when it is created.

These are plain values. They do not know how they are trained, tuned, recorded or shown.
"""
