"""A GPT of four layers that writes Shakespeare by characters: nanoGPT's recipe for a CPU.

Needs the text, from OPTSUITE_DATA or a download.
"""

from functools import partial

from optsuite import Benchmark, Target, data, models

BENCHMARK = Benchmark(
    name="shakespeare_gpt",
    dataset=data.tinyshakespeare,
    model=partial(models.Transformer, n_tokens=65, context=64, width=128, n_heads=4, n_layers=4),
    loss=models.next_character,
    batch_size=12,
    max_steps=2_000,
    eval_every=250,
    target=Target("validation/loss", at_most=1.9),
)
