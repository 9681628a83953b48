"""What a person writes: benchmarks, optimizers and the suite that compares them, each checked when it is made.

These are plain values. They know nothing of how they are trained, tuned, recorded or shown.
"""
