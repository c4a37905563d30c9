"""What all algorithms share, with algorithms that learn nothing or next to nothing.

The episodes have three steps, of which the observation shows 0, 1, 2. The burn-in takes four
steps, so the first iteration sees 1, 2 | 0, 1 and its last step leads to 2.
"""

import copy
import dataclasses
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ksim_cli.models.policy import ActionSample, Policy, Variables
from ksim_cli.rl.algorithm import (
    Algorithm,
    Context,
    LearnerState,
    Learning,
    act,
    init,
    learn,
    train_step,
)
from ksim_cli.run.compile import assert_fixed_point, without_weak_types
from tests.envs import Probe
from tests.rl.policies import known
from tests.rl.updates import Shown

N = 3


class Still(Algorithm):
    """Learns nothing; its metrics show what it was given, its own state counts rollouts."""

    def init(self, context, variables, key):
        return super().init(context, variables, key)._replace(own=jnp.zeros(context.env.num_envs))

    def warm_up(self, context, learning, experience):
        return learning._replace(own=learning.own + 100 + experience.action.sum())

    def update(self, context, learning, experience, key):
        shown = {"learner": learning.learner, "experience": experience, "key": key}
        return learning._replace(own=learning.own + 1), shown


class Bad(Probe):
    """The last step of every episode of environments 1 and 2 is quarantined."""

    def step(self, state, action):
        state, result = super().step(state, action)
        bad = result.done & (jnp.arange(self.num_envs) > 0)
        return state, result.replace(
            terminated=result.terminated & ~bad,
            quarantined=jnp.where(bad, 1, 0).astype(jnp.int32),
        )


class Watched(Probe):
    """Its rewards count the steps of the run, its rollouts are counted in the level.

    The curriculum shows the length of episodes it was told, and how many steps ended one.
    """

    def begin_rollout(self, state):
        return state.replace(level=state.level + 10.0)

    def end_rollout(self, state, results, statistics):
        told = jnp.stack([statistics.length, statistics.episode_return, results.done.sum()])
        return state.replace(shown=told)

    def init_rewards(self):
        return jnp.zeros((), jnp.int32)

    def rewards(self, carry, results, learned):
        _, scores = super().rewards((), results, learned)
        return carry + scores.total.shape[0], scores


def ones(shown, action, count):
    return jnp.ones_like(action)


def counts(shown, action, count):
    return count * 1.0


def make_context(env, **fields):
    given = {"policy": known(), "optimizer": optax.identity(), "num_steps": 4, "batch_size": N}
    return Context(env, **(given | fields))


def iterate(algo, context, iterations=1):
    """Of each iteration the state before and after it, metrics and incident."""

    def run(key):
        state = init(algo, context, key)
        out = []
        for _ in range(iterations):
            before = state
            state, metrics, incident = train_step(algo, context, state)
            out.append((before, state, metrics, incident))
        return out

    return jax.device_get(jax.jit(run)(jax.random.key(0)))


def test_the_burn_in_acts_with_zeros_and_what_it_saw_seeds_the_statistics():
    env = Probe(ones, 3, shows="step", num_envs=N)
    ((before, _, metrics, _),) = iterate(Still(), make_context(env, policy=known(action=7.0)))
    # 0, 1, 2 | 0 in three environments.
    assert before.learner.variables.statistics.tolist() == [12.0, 9.0]
    assert before.own.tolist() == [100.0] * N, "warmed up, by actions that sum to zero"
    assert metrics["experience"].obs["actor"][:, 0, 0].tolist() == [1.0, 2.0, 0.0, 1.0]
    assert (metrics["experience"].action == 7.0).all(), "after it the policy acts"


def test_the_policy_remembers_nothing_of_the_burn_in():
    env = Probe(ones, 3, shows="step", num_envs=N)
    context = make_context(env, policy=known(counts=True))
    first, second = iterate(Still(), context, iterations=2)
    # It acts from amid an episode: 0, 1 | 0, 1 | 2 ...
    assert first[2]["experience"].carry.tolist() == [0.0] * N
    assert second[2]["experience"].carry.tolist() == [2.0] * N
    assert second[0].carry.tolist() == [2.0] * N


def test_the_burn_in_gives_zeros_for_what_comes_with_an_action():
    class Told(Probe):
        def rewards(self, carry, results, learned):
            return super().rewards(carry, results, {"told": results.steps.aux["a"].sum(-1)})

    class Warmed(Still):
        def warm_up(self, context, learning, experience):
            return learning._replace(own=experience.scores.components["told"][0])

    def sample(model, obs, carry, key, argmax):
        return ActionSample(action=jnp.zeros((N, 1)), aux={"a": jnp.ones((N, 2))})

    policy = Policy(known().adapter, sample, None)
    context = make_context(
        Told(ones, 3, num_envs=N),
        policy=policy,
        aux={"a": jax.ShapeDtypeStruct((2,), jnp.float32)},
    )
    ((_, _, metrics, _),) = iterate(Still(), context)
    assert metrics["reward/told"] == 2.0
    ((before, _, _, _),) = iterate(Warmed(), context)
    assert before.own.tolist() == [0.0] * N


def test_statistics_see_what_was_acted_on_once_after_the_update_and_nothing_quarantined():
    env = Bad(ones, 3, shows="step", num_envs=N)
    ((before, after, metrics, _),) = iterate(Still(), make_context(env))
    # Burn-in: 0, 1, 2 | 0 in three environments, and 2 is quarantined in two of them.
    assert before.learner.variables.statistics.tolist() == [10.0, 3 * 3 - 2 * 2]
    # The update sees the statistics that the actions were taken with; then 1, 2 | 0, 1 are added.
    assert metrics["learner"].variables.statistics.tolist() == [10.0, 5.0]
    assert after.learner.variables.statistics.tolist() == [20.0, 5 + 3 * 4 - 2 * 2]


def test_episodes_are_followed_over_rollouts_and_reach_the_curriculum():
    env = Watched(counts, 3, shows="step", num_envs=N)
    first, second = iterate(Still(), make_context(env), iterations=2)
    # Episodes end at steps 3 (in the burn-in), 6 | 9 and 12, each with 1 + 2 + 3.
    for (_, state, metrics, _), episodes in ((first, 3), (second, 6)):
        assert metrics["episodes"] == episodes
        assert metrics["episode_return"] == 6.0 and metrics["episode_length"] == 3.0
        assert metrics["termination/end"] == 1.0
        assert state.env.shown.tolist() == [3.0, 6.0, episodes]
    assert [int(x[1].rewards) for x in (first, second)] == [8, 12]
    assert [x[1].own.tolist() for x in (first, second)] == [[101.0] * N, [102.0] * N]
    keys = {jax.random.key_data(key).tobytes() for x in (first, second) for key in given(x)}
    assert len(keys) == 5, "each iteration has a key of its own, and so has its update"


def given(iteration):
    before, after, metrics, _ = iteration
    return before.key, after.key, metrics["key"]


def test_each_rollout_is_announced_once():
    env = Watched(counts, 3, num_envs=N)
    ((before, after, metrics, _),) = iterate(Still(), make_context(env))
    assert (before.env.level, after.env.level) == (11.0, 21.0), "the burn-in is one too"
    assert metrics["level"] == 21.0, "what a rollout begins with holds through it"


def test_the_metrics_of_a_rollout_by_hand():
    env = Bad(counts, 3, shows="step", num_envs=N)
    ((_, _, metrics, _),) = iterate(Still(), make_context(env))
    # 2, 3, 1, 2 in each; the 3 of two environments is quarantined and pays nothing.
    np.testing.assert_allclose(metrics["reward"], (3 * 8 - 2 * 3) / 12, rtol=1e-6)
    np.testing.assert_allclose(metrics["reward/probe"], metrics["reward"], rtol=1e-6)
    assert metrics["quarantined"] == metrics["quarantined/physics"] == 2
    assert metrics["quarantined/view"] == metrics["quarantined/rewards.probe"] == 0
    np.testing.assert_allclose(metrics["quarantine_rate"], 2 / 12)
    assert metrics["episodes"] == 3 and metrics["failure_rate"] == 0.0
    assert metrics["episode_length"] == 3.0 and metrics["overflow"] == 0
    np.testing.assert_allclose(metrics["episode_return"], (6 + 3 + 3) / 3, rtol=1e-6)
    # Where no episode ends there is nothing to measure.
    ((_, _, metrics, _),) = iterate(Still(), make_context(Probe(counts, 99, num_envs=N)))
    assert metrics["episodes"] == 0 and metrics["quarantined"] == 0
    for name in ("episode_return", "episode_length", "failure_rate", "termination/end"):
        assert np.isnan(metrics[name]), name


@pytest.mark.parametrize("leaf", ["params", "own"])
def test_an_update_that_is_not_finite_is_not_applied_and_is_counted(leaf):
    """Whatever the algorithm; and what it holds that was infinite before may stay so."""

    class Breaks(Still):
        def init(self, context, variables, key):
            learning = super().init(context, variables, key)
            endless = {"best": jnp.inf * jnp.ones(()), "count": jnp.zeros((), jnp.int32)}
            return learning._replace(learner=learning.learner.replace(opt_state=endless))

        def update(self, context, learning, experience, key):
            learner, own = learning
            count = learner.opt_state["count"] + 1
            value = jnp.where(count == 2, jnp.nan, 1.0)
            if leaf == "own":
                own = own + value
            else:
                params = jax.tree.map(lambda x: x + value, learner.variables.params)
                learner = learner.replace(variables=learner.variables.replace(params=params))
            learner = learner.replace(opt_state={**learner.opt_state, "count": count})
            return Learning(learner, own), {}

    states = iterate(Breaks(), make_context(Probe(counts, 3, num_envs=N)), 2)
    assert [float(metrics["skipped_updates"]) for _, _, metrics, _ in states] == [0.0, 1.0]
    (_, first, _, _), (_, second, _, _) = states
    assert int(first.learner.opt_state["count"]) == int(second.learner.opt_state["count"]) == 1
    assert first.learner.variables.params == second.learner.variables.params
    np.testing.assert_array_equal(first.own, second.own)


def test_statistics_that_an_experience_would_ruin_stay_as_they_were():
    """In the burn-in, too."""
    context = make_context(Probe(counts, 3, num_envs=N))

    def ruined(variables, obs, valid):
        return variables.replace(params=jax.tree.map(lambda x: x * jnp.nan, variables.params))

    policy = copy.copy(context.policy)
    policy.update_statistics = ruined
    for before, after, metrics, _ in iterate(Still(), dataclasses.replace(context, policy=policy)):
        for state in (before, after):
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.learner.variables))
        assert metrics["skipped_updates"] == 0.0


def test_an_iteration_with_nothing_sound_in_it_changes_nothing():
    class Spoilt(Probe):
        def step(self, state, action):
            state, result = super().step(state, action)
            return state, result.replace(quarantined=jnp.ones(self.num_envs, jnp.int32))

    ((before, after, metrics, _),) = iterate(Still(), make_context(Spoilt(counts, 3, num_envs=N)))
    assert metrics["skipped_updates"] == metrics["quarantine_rate"] == 1.0
    np.testing.assert_array_equal(before.own, after.own)


class Styled(Still):
    """Pays 10 times the weight its learner holds for each step; an update raises the weight."""

    def init(self, context, variables, key):
        learner = LearnerState(variables, (), reward_variables={"weight": jnp.ones(())})
        return Learning(learner, jnp.zeros(context.env.num_envs))

    def rewards(self, context, reward_variables, experience):
        assert context.num_steps == experience.was_reset.shape[0]
        return {"style": jnp.full(experience.was_reset.shape, 10.0 * reward_variables["weight"])}

    def update(self, context, learning, experience, key):
        learning, metrics = super().update(context, learning, experience, key)
        variables = jax.tree.map(lambda x: x + 1, learning.learner.reward_variables)
        learner = learning.learner.replace(reward_variables=variables)
        return learning._replace(learner=learner), metrics


def test_a_learned_reward_is_logged_followed_and_learned_from_as_any_other():
    env = Probe(counts, 3, shows="step", num_envs=N)
    first, second = iterate(Styled(), make_context(env), iterations=2)
    # 2, 3 | 1, 2 and 10 for each.
    assert first[2]["reward/probe"] == 2.0 and first[2]["reward/style"] == 10.0
    assert first[2]["reward"] == 12.0
    assert first[2]["experience"].scores.total[:, 0].tolist() == [12.0, 13.0, 11.0, 12.0]
    assert first[2]["episode_return"] == 6.0 + 3 * 10.0
    # The next rollout pays 20 for each: 3 | 1, 2, 3; an episode was under way for two steps.
    assert second[2]["reward/style"] == 20.0
    assert second[2]["experience"].scores.total[:, 0].tolist() == [23.0, 21.0, 22.0, 23.0]
    assert second[2]["episode_return"] == 6.0 + (20 + 20 + 20 + 60) / 2 - 10.0


class StyledPPO(Shown):
    """PPO with a reward of its own."""

    def rewards(self, context, reward_variables, experience):
        return {"style": 10.0 * experience.obs["actor"][..., 0]}


def test_a_learned_reward_reaches_the_targets_of_ppo():
    env = Probe(counts, 3, shows="step", num_envs=N)
    algo = StyledPPO(normalize_returns=False, gamma=0.0)
    ((before, _, metrics, _),) = iterate(algo, make_context(env))
    # With gamma 0 a target is a reward: 2, 3, 1, 2 and ten times 1, 2, 0, 1.
    assert metrics["batch"].target[:, 0].tolist() == [12.0, 23.0, 1.0, 12.0]
    # And the scale of returns, in the burn-in too: 1, 2, 3, 1 and 0, 10, 20, 0.
    seen = np.array([1.0, 12.0, 23.0, 1.0])
    np.testing.assert_allclose(before.learner.returns.mean, seen.mean(), rtol=1e-6)
    np.testing.assert_allclose(before.learner.returns.variance, seen.var(), rtol=1e-5)


def test_a_task_may_put_its_update_in_the_place_of_the_algorithms():
    class Refusing(Still):
        def update(self, context, learning, experience, key):
            raise AssertionError("the task has an update of its own")

    def update(context, learning, experience, key):
        own = learning.own + experience.scores.total.sum(axis=0)
        variables = learning.learner.variables.replace(params=jnp.float32(5.0))
        learner = learning.learner.replace(variables=variables)
        return Learning(learner, own), {"mine": jnp.float32(7.0)}

    env = Probe(counts, 3, shows="step", num_envs=N)
    ((_, after, metrics, _),) = iterate(Refusing(), make_context(env, update=update))
    assert metrics["mine"] == 7.0 and metrics["reward"] == 2.0
    assert after.learner.variables.params == 5.0
    assert after.learner.variables.statistics.tolist() == [24.0, 21.0], "seen as ever"
    assert after.own.tolist() == [108.0] * N


def test_an_algorithm_gets_the_final_observations_it_asks_for():
    class Asking(Still):
        def final_groups(self):
            return ("critic",)

    env = Probe(counts, 3, truncates=True, shows="step", num_envs=N)
    ((_, _, metrics, _),) = iterate(Asking(), make_context(env))
    assert set(metrics["experience"].results.final_obs) == {"critic"}
    assert metrics["experience"].next_obs("critic")[:, 0, 0].tolist() == [2.0, 3.0, 1.0, 2.0]
    ((_, _, metrics, _),) = iterate(Still(), make_context(env))
    assert metrics["experience"].results.final_obs == {}


def test_an_iteration_is_acting_and_then_learning():
    env, algo = Probe(counts, 3, shows="coin", num_envs=N), Styled()
    context = make_context(env)

    @jax.jit
    def both(key):
        state = init(algo, context, key)
        whole = train_step(algo, context, state)
        key, key_act, key_learn = jax.random.split(state.key, 3)
        middle, experience = act(algo, context, state.replace(key=key), key_act)
        return whole, learn(algo, context, middle, experience, key_learn)

    one, two = both(jax.random.key(0))
    leaves = [
        jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        for x in jax.tree.leaves((one, two))
    ]
    half = len(leaves) // 2
    for a, b in zip(leaves[:half], leaves[half:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_policy_of_a_state_and_the_rest_are_the_state():
    env, algo = Probe(counts, 3, num_envs=N), Styled()
    state = jax.jit(partial(init, algo, make_context(env)))(jax.random.key(0))
    policy, rest = state.policy, state.without_policy()
    assert policy.variables is state.learner.variables
    assert policy.reward_variables == {"weight": 1.0} and policy.level is state.env.level
    assert rest.learner.variables == () and rest.learner.reward_variables == ()
    assert jax.tree.structure(rest.env) == jax.tree.structure(state.env)
    again = rest.with_policy(policy)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    for a, b in zip(*map(jax.tree.leaves, (again, state)), strict=True):
        assert a is b


@dataclass(frozen=True)
class Descent(Algorithm):
    """Gradient descent towards a number, with the configured optimizer."""

    goal: float = 3.0

    def update(self, context, learning, experience, key):
        learner = learning.learner
        params = learner.variables.params
        updates, opt_state = context.optimizer.update(2 * (params - self.goal), learner.opt_state)
        variables = learner.variables.replace(params=optax.apply_updates(params, updates))
        learner = learner.replace(variables=variables, opt_state=opt_state)
        return learning._replace(learner=learner), {"error": jnp.abs(params - self.goal)}


def test_an_algorithm_needs_an_update_and_nothing_else():
    env = Probe(counts, 3, num_envs=N)
    context = make_context(env, optimizer=optax.adam(0.1))
    algo = Descent()
    start = jax.jit(lambda k: without_weak_types(init(algo, context, k)))(jax.random.key(0))
    assert_fixed_point(start, jax.eval_shape(lambda s: train_step(algo, context, s)[0], start))

    def body(state, _):
        state, metrics, _ = train_step(algo, context, state)
        return state, metrics["error"]

    state, errors = jax.jit(lambda s: jax.lax.scan(body, s, None, length=200))(start)
    assert errors[0] == 3.0 and errors[-1] < 0.05
    np.testing.assert_allclose(state.learner.variables.params, 3.0, atol=0.05)
    assert algo.extra_observations() == {} and algo.final_groups() == ()
    assert algo.prepare(None) == () and state.own == ()
    with pytest.raises(NotImplementedError):
        Algorithm().update(context, Learning(start.learner), None, jax.random.key(0))


def test_the_learner_starts_from_the_policys_fresh_variables():
    policy = known()
    fresh = Variables(params=jnp.float32(4.0), statistics=jnp.zeros(2))
    policy.init = lambda key: fresh
    env = Probe(counts, 3, num_envs=N)
    context = make_context(env, policy=policy, optimizer=optax.adam(0.1))
    state = jax.jit(partial(init, Descent(), context))(jax.random.key(0))
    assert state.learner.variables.params == 4.0
    adam = state.learner.opt_state[0]
    assert adam.mu.shape == () and adam.count == 0, "the optimizer sees parameters only"
