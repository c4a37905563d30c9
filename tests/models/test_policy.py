import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.models.adapters import NNXAdapter, PytreeAdapter
from ksim_cli.models.distributions import DiagonalNormal
from ksim_cli.models.heads import HEADS
from ksim_cli.models.mlp import MLP
from ksim_cli.models.policy import ActionSample, Policy, Variables, ppo_variables

SIZES = {"actor": 3, "critic": 3}
OBS = {"actor": jnp.arange(12.0).reshape(4, 3), "critic": jnp.arange(12.0).reshape(4, 3)}


def make(**fields):
    return Policy(NNXAdapter(lambda key: MLP(hidden_size=8, **fields).build(SIZES, 2, key)))


@pytest.mark.parametrize("distribution", HEADS)
def test_what_is_stored_when_acting_is_what_the_loss_sees(distribution):
    policy = make(distribution=distribution)
    variables = jax.jit(policy.init)(jax.random.key(0))
    sample = jax.jit(policy.sample)(variables, OBS, (), jax.random.key(1))
    assert (sample.raw_action is None) == (distribution != "tanh_normal"), "nothing twice"
    judge = jax.jit(policy.ppo_variables)
    again = judge(variables, OBS, sample.action, (), sample.raw_action)
    np.testing.assert_allclose(again.log_prob, sample.log_prob, rtol=1e-6)
    np.testing.assert_allclose(again.value, sample.value, rtol=1e-6)
    value = jax.jit(policy.value, static_argnums=3)(variables, OBS, (), 2)
    np.testing.assert_allclose(value, sample.value, rtol=1e-6)


def test_the_mode_is_that_of_the_distribution_and_a_sample_is_not():
    policy = make()
    variables = policy.init(jax.random.key(0))
    one = policy.mode(variables, OBS, ())
    distribution, _ = policy.adapter.merge(variables).action_distribution(OBS, ())
    np.testing.assert_array_equal(one.action, distribution.mean)
    np.testing.assert_array_equal(one.value, policy.value(variables, OBS, (), 2))
    np.testing.assert_array_equal(one.log_prob, distribution.log_prob(one.action))
    loose = policy.sample(variables, OBS, (), jax.random.key(1))
    assert not np.array_equal(loose.action, one.action)


def squashed_at(mean, policy):
    """Variables of a policy whose means are all the same."""
    variables = jax.jit(policy.init)(jax.random.key(0))
    last = variables.params["actor"]["layers"][2]
    last["kernel"], last["bias"] = jnp.zeros_like(last["kernel"]), jnp.full(2, mean)
    return variables


@pytest.mark.parametrize("mean", [0.0, 8.0, 12.0])
def test_a_squashed_policy_is_judged_by_what_was_drawn(mean):
    policy, n = make(distribution="tanh_normal"), 50_000
    variables = squashed_at(mean, policy)
    obs = {group: jnp.zeros((n, 3)) for group in SIZES}
    sample = jax.jit(policy.sample)(variables, obs, (), jax.random.key(1))
    np.testing.assert_allclose(sample.action, jnp.tanh(sample.raw_action), rtol=1e-6)
    assert abs(float(sample.raw_action.mean()) - mean) < 0.05
    stored = (obs, sample.action, (), sample.raw_action)

    @jax.jit
    def judged(shift, *stored):
        # Moves the means of both elements.
        params = jax.tree.map(lambda x: x, variables.params)
        params["actor"]["layers"][2]["bias"] += shift
        return policy.ppo_variables(variables.replace(params=params), *stored).log_prob

    def score(*stored):
        return jax.grad(lambda shift: judged(shift, *stored).mean())(jnp.zeros(2))

    # One score is normal with deviation 1 / std = 1.
    assert (np.abs(score(*stored)) < 4 / np.sqrt(n)).all()
    ratio = np.exp(np.asarray(judged(jnp.full(2, 0.1), *stored) - sample.log_prob, np.float64))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(n)
    if mean == 8.0:  # what is wrong with the rounded action
        assert (score(*stored[:3]) < -0.5).all()


def test_an_evaluation_of_ones_own_is_given_actions_and_finds_their_density():
    given = []

    def evaluate(model, obs, action, carry):
        given.append(action)
        return ppo_variables(model, obs, action, carry)

    plain = make(distribution="tanh_normal")
    own = Policy(plain.adapter, evaluate=evaluate)
    variables = plain.init(jax.random.key(0))
    sample = own.sample(variables, OBS, (), jax.random.key(1))
    assert sample.raw_action is None and sample.log_prob is None
    now = own.ppo_variables(variables, OBS, sample.action, ())
    assert given == [sample.action]
    drawn = plain.sample(variables, OBS, (), jax.random.key(1))
    np.testing.assert_allclose(now.log_prob, drawn.log_prob, rtol=1e-4)


def test_statistics_normalise_what_the_networks_see_and_have_no_gradient():
    policy = make()
    variables = policy.init(jax.random.key(0))
    seen = policy.update_statistics(variables, OBS, jnp.ones(4, bool))
    np.testing.assert_allclose(seen.statistics["actor_input"]["statistics"].mean, [4.5, 5.5, 6.5])
    same = jax.tree.map(lambda a, b: bool((a == b).all()), variables.params, seen.params)
    assert all(jax.tree.leaves(same))
    before, after = (policy.value(v, OBS, (), 2) for v in (variables, seen))
    assert not np.allclose(before, after)
    moved = {k: 10 * v + 7 for k, v in OBS.items()}
    rescaled = policy.update_statistics(variables, moved, jnp.ones(4, bool))
    np.testing.assert_allclose(policy.value(rescaled, moved, (), 2), after, rtol=1e-4, atol=1e-5)
    assert not any("statistics" in jax.tree_util.keystr(p) for p, _ in paths(seen.params))


def paths(tree):
    return jax.tree_util.tree_leaves_with_path(tree)


class Recurrent:
    """Its carry is (calls of the actor, calls of the critic)."""

    def initial_carry(self):
        return jnp.array([1.0, 2.0])

    def action_distribution(self, obs, carry):
        mean = carry[:, :1]
        normal = DiagonalNormal(mean=mean, std=jnp.ones_like(mean))
        return normal, carry + jnp.array([[1.0, 0.0]])

    def value(self, obs, carry):
        return carry.sum(axis=1), carry + jnp.array([[0.0, 1.0]])


def test_a_carry_goes_through_the_actor_then_the_critic_and_both_agree_when_learning():
    policy = Policy(PytreeAdapter(lambda key: Recurrent()))
    assert policy.recurrent and policy.evaluates
    carry, nothing = policy.initial_carry(3), policy.init(jax.random.key(0))
    assert carry.tolist() == [[1.0, 2.0]] * 3
    sample = policy.mode(nothing, OBS, carry)
    assert sample.action.tolist() == [[1.0]] * 3
    assert sample.carry.tolist() == [[2.0, 3.0]] * 3
    assert sample.value.tolist() == [4.0] * 3, "the critic is called after the actor: 2 + 2"
    again = policy.ppo_variables(nothing, OBS, sample.action, carry)
    assert again.value.tolist() == sample.value.tolist()
    assert again.log_prob.tolist() == sample.log_prob.tolist()
    assert make().initial_carry(7) == () and not make().recurrent


class Mutable:
    """Counts in place, as a module does; gives back nothing."""

    def __init__(self, seen):
        self.seen = seen

    def update_statistics(self, obs, mask):
        self.seen = self.seen + jnp.where(mask, obs["actor"][:, 0], 0.0).sum()


class Immutable(Mutable):
    """Gives back another, as an Equinox module does."""

    def update_statistics(self, obs, mask):
        return Immutable(self.seen + mask.sum())


class Adapter:
    def __init__(self, kind):
        self.kind = kind

    def init(self, key):
        return Variables(params=jnp.float32(7.0), statistics=jnp.float32(1.0))

    def merge(self, variables):
        return self.kind(variables.statistics)

    def split(self, model):
        return Variables(params=jnp.float32(-1.0), statistics=model.seen)


def test_statistics_may_be_counted_in_place_or_given_back_and_parameters_stay():
    obs, mask = {"actor": jnp.array([[2.0], [3.0], [9.0]])}, jnp.array([True, True, False])
    for kind, wanted in ((Mutable, 1 + 5), (Immutable, 1 + 2)):
        policy = Policy(Adapter(kind), None, None)
        after = policy.update_statistics(policy.init(None), obs, mask)
        assert after.statistics == wanted and after.params == 7.0
    policy = Policy(Adapter(lambda seen: object()), None, None)
    assert policy.update_statistics(policy.init(None), obs, mask) == policy.init(None)


def test_what_acts_what_judges_and_what_it_starts_from_may_be_given():
    calls = []

    def act(model, obs, carry, key, argmax):
        calls.append((model.seen, carry, argmax))
        return ActionSample(action=obs["actor"])

    def start(model, num_envs):
        return (model.seen.shape, num_envs)

    policy = Policy(Adapter(Mutable), act, None, start)
    variables = policy.init(None)
    assert not policy.evaluates
    assert policy.initial_carry(3) == ((), 3), "made without weights: of their shapes only"
    sample = policy.sample(variables, OBS, "carry", jax.random.key(0))
    policy.mode(variables, OBS, "carry")
    assert sample.action is OBS["actor"] and sample.aux == () and sample.value is None
    assert calls == [(1.0, "carry", False), (1.0, "carry", True)]
