"""Series whose truth is known."""

import numpy as np

from signoff.stats.arrays import Numbers


def autocorrelated(rng: np.random.Generator, count: int, rho: float) -> Numbers:
    """Noise of which so large a part is carried over from value to value, about zero from its beginning on."""
    values = rng.normal(size=count)
    values[0] /= np.sqrt(1 - rho**2)
    for at in range(1, count):
        values[at] += rho * values[at - 1]
    return values
