"""Statistics of comparisons: pure functions on arrays, seeded where they draw random numbers.

`seeds` summarizes the seeds of one optimizer, `differences` compares optimizers seed by seed by the
test in `sign_flip`, `overall` looks across benchmarks, and `search` at the results of tuning.
"""
