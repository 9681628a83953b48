"""Whether two curves of one run are the same: bit for bit, or within what chaos leaves."""

import math
from collections.abc import Sequence

from optsuite.training.run import Measurement


def repeats(expected: Sequence[Measurement], received: Sequence[Measurement]) -> bool:
    """Whether all that was received equals, bit for bit, what was expected at the same steps."""
    own = {m.step: m.values for m in expected}
    return all(own.get(m.step) == m.values for m in received)


def parted(expected: Sequence[Measurement], received: Sequence[Measurement]) -> str:
    """Where the two differ by more than chaos does, in a clause; empty where nowhere."""
    own = {m.step: m.values for m in expected}
    for m in received:
        for name, value in m.values.items():
            wanted = own.get(m.step, {}).get(name, math.nan)
            if not math.isclose(wanted, value, rel_tol=1e-2):
                return f"{name} at step {m.step} is {value:.4g} instead of {wanted:.4g}"
    return ""
