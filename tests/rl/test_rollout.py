import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.models.policy import ActionSample, Policy
from ksim_cli.rl.rollout import Player, PolicyState, play, random_policy, zero_policy
from tests.envs import Probe
from tests.rl.policies import known

ALL = ("actor", "critic")


def run(player, num_steps, level=None, reward_variables=()):
    """A rollout from fresh episodes."""
    variables = player.policy.init(jax.random.key(0))
    state = PolicyState(variables, reward_variables, jnp.ones(()))

    def rollout():
        playing = player.start(jax.random.key(0), level)
        return play(player, state, playing, jax.random.key(1), num_steps)

    return jax.jit(rollout)()


def nothing(shown, action, count):
    return jnp.zeros_like(action)


def counts(shown, action, count):
    return count * 1.0


def test_the_carry_is_that_of_the_episode():
    env = Probe(nothing, 3, shows="step", num_envs=2)
    playing, experience = run(Player(env, known(counts=True)), 5)
    assert experience.carry.tolist() == [0.0, 0.0], "as before the first step"
    assert playing.carry.tolist() == [2.0, 2.0], "anew after the episode"
    assert experience.last_carry.tolist() == [2.0, 2.0]
    assert experience.obs["actor"][:, 0, 0].tolist() == [0.0, 1.0, 2.0, 0.0, 1.0]
    assert experience.last_obs["critic"][:, 0].tolist() == [2.0, 2.0]
    assert experience.was_reset[:, 0].tolist() == [False, False, True, False, False]


def test_the_final_observation_is_kept_only_of_the_groups_asked_for():
    env = Probe(nothing, 3, truncates=True, shows="step", num_envs=2)
    _, experience = run(Player(env, zero_policy(1)), 4)
    assert experience.results.final_obs == {}
    _, experience = run(Player(env, zero_policy(1), final_groups=("actor",)), 4)
    assert set(experience.results.final_obs) == {"actor"}
    assert experience.results.final_obs["actor"][:, 0, 0].tolist() == [1.0, 2.0, 3.0, 1.0]


@pytest.mark.parametrize("truncates", [True, False])
def test_the_next_observation_is_that_of_the_state_each_step_led_to(truncates):
    # The fifth step leads to 2, which the rollout itself does not hold.
    env = Probe(nothing, 3, truncates=truncates, shows="step", num_envs=2)
    _, experience = run(Player(env, zero_policy(1), final_groups=ALL), 5)
    assert experience.next_obs("critic")[:, 1, 0].tolist() == [1.0, 2.0, 3.0, 1.0, 2.0]


def test_a_rollout_in_pieces_is_the_rollout_in_one_piece():
    class Summed(Probe):
        """Pays the sum of the rewards of the run so far."""

        def init_rewards(self):
            return jnp.zeros(self.num_envs)

        def rewards(self, carry, results, learned):
            _, scores = super().rewards((), results, learned)
            sums = carry[None] + jnp.cumsum(scores.total, axis=0)
            return sums[-1], scores.replace(total=sums)

    env = Summed(counts, 4, shows="step", num_envs=2)
    player = Player(env, known(counts=True))
    state = PolicyState(player.policy.init(None), (), jnp.ones(()))
    key = jax.random.key(0)

    @jax.jit
    def both():
        whole = play(player, state, player.start(key), key, 7)
        playing, parts = player.start(key), []
        for num_steps in (2, 1, 4):
            playing, part = play(player, state, playing, key, num_steps)
            parts.append((part.obs, part.action, part.scores, part.was_reset))
        return whole, playing, jax.tree.map(lambda *x: jnp.concatenate(x), *parts)

    (after, one), playing, pieces = both()
    whole = (one.obs, one.action, one.scores, one.was_reset)
    for a, b in zip(*map(jax.tree.leaves, (whole, pieces)), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("carry", "rewards"):
        np.testing.assert_array_equal(getattr(after, name), getattr(playing, name))
    # 1, 2, 3, 4 | 1, 2, 3
    assert one.scores.total[:, 0].tolist() == [1.0, 3.0, 6.0, 10.0, 11.0, 13.0, 16.0]


def test_playing_prepares_no_resets():
    class Announced(Probe):
        def begin_rollout(self, state):
            raise AssertionError("the caller does that, once per rollout")

    run(Player(Announced(nothing, 3, num_envs=2), zero_policy(1)), 3)


def test_episodes_start_at_the_level_asked_for():
    env = Probe(nothing, 3, num_envs=2)
    for level, wanted in ((None, 1.0), (0.25, 0.25)):
        playing, experience = run(Player(env, zero_policy(1)), 4, level)
        assert playing.env.level == wanted and playing.env.level.dtype == jnp.float32
        np.testing.assert_array_equal(experience.results.steps.level, np.full((4, 2), wanted))


def test_what_is_recorded_is_of_the_step_it_was_recorded_at():
    def record(variables, obs, carry, sample, result):
        seen = (obs["actor"], result.final_obs["critic"])
        return *(x[:, 0] for x in seen), carry, sample.carry, variables.statistics

    env = Probe(nothing, 3, truncates=True, shows="step", num_envs=2)
    _, experience = run(Player(env, known(counts=True), record=record), 4)
    before, after, carry, next_carry, statistics = experience.record
    assert before[:, 0].tolist() == carry[:, 0].tolist() == [0.0, 1.0, 2.0, 0.0]
    assert after[:, 0].tolist() == next_carry[:, 0].tolist() == [1.0, 2.0, 3.0, 1.0]
    assert statistics.shape == (4, 2) and not statistics.any(), "acting changes no statistics"


def test_the_mode_has_no_chance_and_a_sample_has():
    def act(model, obs, carry, key, argmax):
        action = jnp.ones((2, 1)) if argmax else jax.random.normal(key, (2, 1))
        return ActionSample(action=action)

    env, policy = Probe(nothing, 3, num_envs=2), Policy(known().adapter, act, None)
    _, experience = run(Player(env, policy, argmax=True), 3)
    assert (experience.action == 1.0).all()
    _, experience = run(Player(env, policy), 3)
    assert len(np.unique(experience.action)) == 6, "a key of its own at each step"


def test_learned_rewards_count_like_the_environments_own():
    def learned(reward_variables, experience):
        # It sees what happened, and its own variables.
        return {"style": reward_variables * experience.obs["actor"][..., 0]}, ()

    env = Probe(counts, 3, shows="step", num_envs=2)
    player = Player(env, zero_policy(1), learned_rewards=learned)
    scores = run(player, 4, reward_variables=jnp.float32(10.0))[1].scores
    assert scores.components["probe"][:, 0].tolist() == [1.0, 2.0, 3.0, 1.0]
    assert scores.components["style"][:, 0].tolist() == [0.0, 10.0, 20.0, 0.0]
    assert scores.total[:, 0].tolist() == [1.0, 12.0, 23.0, 1.0]


@pytest.mark.parametrize("garbage", [jnp.nan, jnp.inf, -jnp.inf, 1e30])
def test_a_reward_that_is_not_finite_is_no_reward_and_its_episode_goes_on(garbage):
    def learned(_, experience):
        late = experience.results.steps.time == 2.0
        spoilt = jnp.where(late & (jnp.arange(2) == 1)[None], garbage, 0.5)
        return {"style": spoilt}, ()

    env = Probe(counts, 3, shows="step", num_envs=2)
    _, experience = run(Player(env, known(counts=True), learned_rewards=learned), 4)
    assert experience.valid[:, 0].all()
    assert experience.valid[:, 1].tolist() == [True, False, True, True]
    assert experience.results.quarantined[:, 1].tolist() == [0, 5, 0, 0]
    assert experience.suspects[4] == "rewards.style"
    assert experience.was_reset[:, 1].tolist() == [False, False, True, False]
    assert experience.scores.total[:, 0].tolist() == [1.5, 2.5, 3.5, 1.5]
    assert experience.scores.total[:, 1].tolist() == [1.5, 0.0, 3.5, 1.5]
    assert experience.scores.components["probe"][:, 1].tolist() == [1.0, 0.0, 3.0, 1.0]
    assert experience.obs["actor"][:, 1, 0].tolist() == [0.0, 1.0, 2.0, 0.0]


def test_what_came_with_an_action_reaches_the_rewards_and_the_results():
    class Told(Probe):
        def rewards(self, carry, results, learned):
            learned = {"told": results.steps.aux["foot"][..., 1], **learned}
            return super().rewards(carry, results, learned)

    def act(model, obs, carry, key, argmax):
        return ActionSample(action=obs["actor"], aux={"foot": obs["actor"] + jnp.arange(3.0)[None]})

    env = Told(counts, 3, shows="step", num_envs=2)
    _, experience = run(Player(env, Policy(known().adapter, act, None)), 4)
    foot = experience.results.steps.aux["foot"]
    assert foot[:, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [0, 1, 2]]
    assert experience.scores.components["told"][:, 0].tolist() == [1.0, 2.0, 3.0, 1.0]
    # The policies that do nothing give zeros of the same shapes.
    aux = {"foot": jax.ShapeDtypeStruct((3,), jnp.float32)}
    for policy in (zero_policy(1, aux), random_policy(1, aux)):
        steps = run(Player(env, policy), 2)[1].results.steps
        assert steps.aux["foot"].shape == (2, 2, 3) and not steps.aux["foot"].any()


def test_what_was_drawn_is_kept_beside_the_action_where_it_is_another():
    def act(model, obs, carry, key, argmax):
        raw = 3.0 + jax.random.normal(key, obs["actor"].shape)
        return ActionSample(action=jnp.tanh(raw), raw_action=raw)

    env = Probe(nothing, 3, num_envs=2)
    _, experience = run(Player(env, Policy(known().adapter, act)), 4)
    assert experience.raw_action.shape == (4, 2, 1)
    np.testing.assert_allclose(experience.action, jnp.tanh(experience.raw_action), rtol=1e-6)
    assert run(Player(env, known()), 4)[1].raw_action is None


def test_zero_and_random_policies():
    env = Probe(nothing, 3, num_envs=500)
    zero, random = zero_policy(1), random_policy(1)
    _, experience = run(Player(env, zero), 2)
    assert not experience.action.any()
    _, experience = run(Player(env, random), 2)
    action = np.asarray(experience.action)
    assert action.min() >= -1 and action.max() < 1 and abs(action.mean()) < 0.1
    assert not np.array_equal(action[0], action[1])
    for policy in (zero, random):
        assert not policy.recurrent and not policy.evaluates
        assert jax.tree.leaves(policy.init(jax.random.key(0))) == []
        sample = policy.mode(policy.init(None), env.init(jax.random.key(0)).obs, ())
        assert sample.value is None and sample.log_prob is None
