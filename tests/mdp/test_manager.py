from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.mdp.manager import Manager, env_keys
from ksim_cli.mdp.term import Term

KEY = jax.random.key(0)
N = 5


@dataclass(frozen=True, kw_only=True)
class Drawing(Term):
    def init(self, key):
        return {"drawn": jax.random.normal(key, (2,)), "count": jnp.int32(0)}


class Drawings(Manager[Drawing]):
    kind = "drawings"


def test_every_environment_has_a_carry_of_its_own_whatever_stands_beside_the_term():
    carries = Drawings({"a": Drawing(), "b": Drawing()}, N).init(KEY)
    assert carries["a"]["drawn"].shape == (N, 2) and carries["a"]["count"].tolist() == [0] * N
    both = np.concatenate([carries["a"]["drawn"], carries["b"]["drawn"]])
    assert len(np.unique(both)) == both.size
    alone = Drawings({"b": Drawing()}, N).init(KEY)
    np.testing.assert_array_equal(alone["b"]["drawn"], carries["b"]["drawn"])
    assert Drawings({"a": Drawing(), "b": Drawing()}, N).init(KEY, ["b"]).keys() == {"b"}


def test_keys_differ_by_environment_term_and_kind():
    manager = Drawings({}, N)
    keys = [manager.keys(KEY, "a"), manager.keys(KEY, "b"), env_keys(KEY, N, "others", "a")]
    numbers = np.concatenate([jax.random.key_data(k) for k in keys])
    assert len(np.unique(numbers, axis=0)) == 3 * N
