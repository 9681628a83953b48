"""The sign-flip test of paired differences, corrected for several pairs."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.04  # for all pairs of a benchmark together: below the 5 % we promise, see sign_flip
EXACT_SEEDS = 14  # with more, the patterns of signs are drawn instead of enumerated
N_DRAWN = 2**14
CHUNK = 2**24  # numbers held at once

Matrix = NDArray[np.float64]


def sign_flip(differences: Matrix) -> Matrix:
    """Two-sided p-values (pairs,) of paired differences (pairs, n), adjusted for all pairs.

    The null hypothesis is that differences are symmetric about 0. The signs of whole seeds are
    flipped: the p of a pair is the fraction of sign patterns under which any pair looks as extreme,
    by the sum of its differences relative to their size (maxT of Westfall and Young 1993). So
    correlated pairs are not over-corrected, and the fewest seeds that can find a difference do not
    depend on the number of optimizers. Up to 14 seeds every pattern is tried (Fisher 1935); beyond,
    patterns are drawn, with the observed one among them. Exact for a single pair, and for several
    if all differences are jointly symmetric; approximate for skewed scores.
    """
    scaled = relative_to_size(differences)
    parts = [largest_sums(signs, scaled) for signs in patterns(differences.shape)]
    largest = np.sort(np.concatenate(parts))
    return np.asarray(1 - np.searchsorted(largest, observed_sums(scaled)) / len(largest))


def relative_to_size(differences: Matrix) -> Matrix:
    """Differences (pairs, n), each row divided by its Euclidean norm; a row of zeros stays."""
    size = np.sqrt((differences**2).sum(axis=1, keepdims=True))
    zeros = np.zeros_like(differences)
    return np.asarray(np.divide(differences, size, out=zeros, where=size > 0))


def largest_sums(signs: Matrix, scaled: Matrix) -> Matrix:
    """The largest sum over the pairs under each of the signs (some, n), in absolute value."""
    return np.asarray(np.abs(signs @ scaled.T).max(axis=1))


def observed_sums(scaled: Matrix) -> Matrix:
    """The sum of each pair (pairs,) as it is, to be found among its own patterns."""
    return np.asarray(
        np.abs(scaled.sum(axis=1)) - 1e-12
    )  # sums in another order differ in the last bit


def patterns(shape: tuple[int, ...]) -> Iterator[Matrix]:
    """Patterns of n signs (some, n) for differences of shape (pairs, n), in chunks.

    A pattern stands for its opposite too.
    """
    n_pairs, n = shape
    if n <= EXACT_SEEDS:
        bits = (np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1
        signs = np.where(bits, -1.0, 1.0)
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(N_DRAWN, n))
        signs[0] = 1.0
    step = max(1, CHUNK // n_pairs)
    for start in range(0, len(signs), step):
        yield signs[start : start + step]
