"""The legged robot at a pose, and what an observation sees of it."""

import jax
import numpy as np

from ksim_cli.registry import OBSERVATIONS
from tests.legged import LEGGED, bound, posed, step_of

KEY = jax.random.key(0)


S = np.sqrt(0.5)


LEFT = [1.0, 2.0, 0.5, S, 0, 0, S, 0.1, 0.2, 0.3, 0.4]  # turned left by 90 degrees


MOVING = [1.0, 2.0, 3.0, 0.1, 0.2, 0.3, 5, 6, 7, 8]


def value(kind, qpos=LEFT, qvel=MOVING, data=None, xml=LEGGED, steps=1, changes=None, **section):
    term, model = bound(OBSERVATIONS.build({"type": kind, **section}, "observations.x"), xml)
    data = posed(model, qpos, qvel) if data is None else data(model)
    carry, seen = term.init(KEY), None
    for _ in range(steps):
        seen, carry = term(step_of(data, **(changes or {})), carry, KEY)
    return np.asarray(seen)


def close(got, wanted, tolerance=1e-5):
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
