"""Minibatches: each transition once a pass, each with what belongs to it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.rl.minibatches import Batch, Sequences, Transitions, shuffled

T, N = 5, 6


def numbered():
    """A batch whose every entry says which transition it belongs to: 100 t + n."""
    number = 100.0 * jnp.arange(T)[:, None] + jnp.arange(N)[None]
    return Batch(
        obs={"actor": jnp.stack([number + 0.25, number + 0.5], axis=-1)},
        action=number[..., None],
        carry=(1000.0 + jnp.arange(N))[:, None],
        log_prob=number,
        value=number,
        advantage=number,
        target=number,
        valid=number >= 0,
        done=number % 2 == 0,
    )


@pytest.mark.parametrize("num_groups", [1, 2, 3, 6])
def test_a_pass_sees_each_transition_once_and_as_many_of_each_group(num_groups):
    parts = Transitions(numbered(), num_groups)
    order = parts.order(jax.random.key(0))
    seen = []
    for minibatch in order:
        part = parts.take(minibatch)
        assert part.value.shape == (num_groups * T,) and part.carry == ()
        np.testing.assert_array_equal(part.action[:, 0], part.value)
        np.testing.assert_array_equal(
            part.obs["actor"] - part.value[:, None], [[0.25, 0.5]] * len(part.value)
        )
        np.testing.assert_array_equal(part.done, part.value % 2 == 0)
        group = np.asarray(part.value % 100) // (N // num_groups)
        assert np.bincount(group.astype(int)).tolist() == [T] * num_groups
        seen += part.value.tolist()
    assert sorted(seen) == [100.0 * t + n for t, n in itertools.product(range(T), range(N))]
    assert seen != sorted(seen)


@pytest.mark.parametrize("num_groups", [1, 2, 3])
def test_sequences_are_whole_environments_in_order_with_their_carries(num_groups):
    parts = Sequences(numbered(), num_groups)
    seen = []
    for minibatch in parts.order(jax.random.key(1)):
        part = parts.take(minibatch)
        envs = np.asarray(part.value[0])
        np.testing.assert_array_equal(part.value, 100.0 * np.arange(T)[:, None] + envs)
        np.testing.assert_array_equal(part.obs["actor"][..., 1], part.value + 0.5)
        np.testing.assert_array_equal(part.carry[:, 0], 1000.0 + envs)
        np.testing.assert_array_equal(envs // (N // num_groups), range(num_groups))
        seen += envs.tolist()
    assert sorted(seen) == list(range(N))


@pytest.mark.parametrize("size", [1, 2, 7, 96, 1000])
def test_each_row_is_a_permutation_of_its_own(size):
    rows = np.asarray(shuffled(jax.random.key(2), 4, size))
    np.testing.assert_array_equal(np.sort(rows, axis=1), [np.arange(size)] * 4)
    if size > 7:
        assert len({tuple(row) for row in rows}) == 4
        assert (rows != shuffled(jax.random.key(3), 4, size)).any()


def test_all_orders_are_equally_likely():
    keys = jax.random.split(jax.random.key(4), 24)
    rows = np.concatenate([shuffled(key, 1000, 4) for key in keys])
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(counts) == 24
    # Chi-squared with 23 degrees of freedom: above 50 once in a thousand.
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < 50
