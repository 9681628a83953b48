"""Statistics of comparisons: pure functions on arrays, seeded where they draw random numbers.

`seeds` summarises the seeds of one optimizer, `differences` compares optimizers seed by seed, `overall` looks across
benchmarks, `search` at what tuning found.
"""
