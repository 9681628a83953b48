"""A noisy convex quadratic in 100 dimensions with ten steep directions: DeepOBS (Schneider et al. 2019), small suite P1.

Followed to the letter: 100 epochs of 7 steps, measured after each, the batch order drawn once per run, and the
published target on the test loss.
"""

from optsuite import Benchmark, Target, data, models

BENCHMARK = Benchmark(
    name="quadratic_deep",
    dataset=data.quadratic,
    model=models.quadratic_deep,
    loss=models.mean_output,
    batch_size=128,
    max_steps=700,
    eval_every=7,
    shuffle="once",
    target=Target("test/loss", at_most=87.703),
)
