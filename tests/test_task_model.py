"""A task bound to its model: what acts, what learns, and where."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from ksim_cli.errors import UserError
from ksim_cli.hdf5 import read_arrays
from ksim_cli.load_task import load_task, make_task
from ksim_cli.mdp.rewards.smoothness import ActionVelocity
from ksim_cli.mdp.term import Randomizer
from ksim_cli.models.policy import ActionSample, PPOVariables
from ksim_cli.rl.algorithm import Algorithm, init, make_player, train_step
from ksim_cli.rl.ppo import PPO
from ksim_cli.rl.rollout import PolicyState, play
from ksim_cli.task import Task, refuse_huge
from ksim_cli.task_model import TaskModel
from tests.helpers import run_config, tiny_cartpole
from tests.run.commands import ksim

OBS = {"actor": jnp.ones((4, 5)), "critic": jnp.ones((4, 5))}


class OnCart(Task):
    """Any task on the cart-pole."""

    def get_mujoco_model(self):
        return load_task("cartpole")(self.config).get_mujoco_model()


class Halved(OnCart):
    """Acts half as hard as the policy says, and says so to the loss."""

    def sample_action(self, model, obs, carry, key, argmax):
        sample = super().sample_action(model, obs, carry, key, argmax)
        return sample.replace(action=sample.action / 2)

    def get_ppo_variables(self, model, obs, action, carry):
        return super().get_ppo_variables(model, obs, action * 2, carry)

    def get_initial_model_carry(self, model, num_envs):
        return jnp.zeros(num_envs)


class Servo:
    """Holds nothing to learn."""


class Servoed(OnCart):
    """Pushes against the speed it sees; says what it felt beside the action."""

    def get_model(self, observation_sizes, action_size, key):
        return Servo()

    def sample_action(self, model, obs, carry, key, argmax):
        felt = {"speed": obs["actor"][:, 3:], "on": jnp.ones(len(obs["actor"]), bool)}
        return ActionSample(action=-obs["actor"][:, 3:4], aux=felt)


class Line(linen.Module):
    @linen.compact
    def __call__(self, obs):
        return linen.Dense(2)(obs["actor"])


class Lined(OnCart):
    """A Linen module that gives mean and value, acted on with a fixed deviation."""

    def get_model(self, observation_sizes, action_size, key):
        return Line()

    def sample_action(self, model, obs, carry, key, argmax):
        mean = model(obs)[:, :1]
        noise = 0.0 if argmax else jax.random.normal(key, mean.shape)
        return ActionSample(action=mean + noise)


class Judged(Lined):
    def get_ppo_variables(self, model, obs, action, carry):
        mean, value = jnp.split(model(obs), 2, axis=1)
        log_prob = -0.5 * jnp.square(action - mean)[:, 0]
        return PPOVariables(log_prob=log_prob, value=value[:, 0], entropy=jnp.ones_like(log_prob))


@pytest.fixture(scope="module")
def config():
    load_task("cartpole")
    return tiny_cartpole()


@pytest.fixture(scope="module")
def task_model(config):
    return TaskModel(make_task(config))


def test_what_a_task_overrides_is_what_acts_and_what_is_learned_from(config, task_model):
    half, plain = TaskModel(Halved(config)).policy, task_model.policy
    variables = plain.init(jax.random.key(0))
    one = plain.sample(variables, OBS, (), jax.random.key(1))
    two = half.sample(variables, OBS, (), jax.random.key(1))
    np.testing.assert_allclose(two.action, one.action / 2)
    np.testing.assert_allclose(
        half.mode(variables, OBS, ()).action, plain.mode(variables, OBS, ()).action / 2
    )
    again = half.ppo_variables(variables, OBS, two.action, ())
    np.testing.assert_allclose(again.log_prob, one.log_prob, rtol=1e-6)
    assert half.initial_carry(3).shape == (3,)


def test_who_overrides_nothing_pays_no_call(task_model, monkeypatch):
    def called(*arguments):
        raise AssertionError("no method of the task stands between policy and model")

    for name in ("sample_action", "get_ppo_variables", "get_initial_model_carry", "update_model"):
        monkeypatch.setattr(Task, name, called)
    fresh = TaskModel(task_model.task)
    variables, carry = fresh.policy.init(jax.random.key(0)), fresh.policy.initial_carry(4)
    sample = fresh.policy.sample(variables, OBS, carry, jax.random.key(1))
    fresh.policy.ppo_variables(variables, OBS, sample.action, carry)
    assert fresh.make_context(fresh.make_env(2), 4).update is None


def test_the_context_is_the_tasks(config, task_model):
    env = task_model.make_env(4)
    context = task_model.make_context(env, num_steps=7)
    assert context.env is env and context.policy is task_model.policy
    assert (context.num_steps, context.batch_size) == (7, config.batch_size)
    assert context.aux == () and context.parts == () and context.update is None
    assert isinstance(task_model.algorithm, PPO) and task_model.algorithm.lam == 0.99
    assert task_model.observation_sizes == env.observation_sizes == {"actor": 5, "critic": 5}
    assert task_model.action_size == env.action_size == 1


def test_the_update_of_a_task_is_given_the_algorithm_and_the_rollout(config):
    class Own(OnCart):
        def update_model(self, algorithm, context, learning, experience, key):
            return self, algorithm, context, learning, experience, key

    task_model = TaskModel(Own(config))
    update = task_model.make_context(task_model.make_env(2), 4).update
    assert update is not None
    given = update(1, 2, 3, 4)
    assert given == (task_model.task, task_model.algorithm, 1, 2, 3, 4)


def test_what_the_algorithm_prepares_and_observes_is_there(config, monkeypatch):
    extra = {"teacher_sees": {"type": "joint_velocity", "groups": ["teacher"]}}
    monkeypatch.setattr(PPO, "extra_observations", lambda self: extra)
    monkeypatch.setattr(
        PPO, "prepare", lambda self, task: (dict(task.observation_sizes), task.action_size)
    )
    task_model = TaskModel(OnCart(config))
    sizes = {"actor": 5, "critic": 5, "teacher": 2}
    assert task_model.observation_sizes == sizes
    env = task_model.make_env(2)
    assert env.observation_sizes == sizes
    assert task_model.make_context(env, 4).parts == (sizes, 1)


def test_the_algorithm_weighs_a_reward_in_all_its_stages(config, monkeypatch):
    class InStages(OnCart):
        def get_rewards(self):
            stages = ({"iteration": 5, "weight": 6.0},)
            return {"calm": ActionVelocity(weight=2.0, stages=stages), "still": ActionVelocity()}

    monkeypatch.setattr(PPO, "reward_factor", lambda self: 0.5)
    rewards = TaskModel(InStages(config)).mdp.rewards
    assert (rewards["calm"].weight, rewards["still"].weight) == (0.5, 0.5)
    assert [variant.weight for variant in rewards["calm"].variants] == [2.0, 6.0]


def test_what_comes_with_an_action_is_known_without_acting(config):
    aux = TaskModel(Servoed(config)).aux
    assert set(aux) == {"speed", "on"}
    assert aux["speed"] == jax.ShapeDtypeStruct((2,), jnp.float32)
    assert aux["on"] == jax.ShapeDtypeStruct((), jnp.bool_)


def test_a_model_that_cannot_act_is_refused_with_the_method_to_write(config):
    class Mute(OnCart):
        def get_model(self, observation_sizes, action_size, key):
            return Servo()

    wanted = (
        r"get_model gives a Servo without action_distribution and value. Override"
        r" sample_action\(model, obs, carry, key, argmax\) in class Mute"
    )
    with pytest.raises(UserError, match=wanted):
        _ = TaskModel(Mute(config)).policy


def test_what_cannot_be_learned_is_refused(config, task_model):
    task_model.refuse_unlearnable()
    with pytest.raises(UserError, match=r"Servo, which holds nothing to learn.*policy=initial"):
        TaskModel(Servoed(config)).refuse_unlearnable()
    wanted = (
        r"Line without .*Override get_ppo_variables\(model, obs, action, carry\) in class Lined"
    )
    with pytest.raises(UserError, match=wanted):
        TaskModel(Lined(config)).refuse_unlearnable()
    TaskModel(Judged(config)).refuse_unlearnable()
    blind = dataclasses.replace(config, model={**config.model, "critic_groups": []})
    with pytest.raises(UserError, match=r"algo=ppo: asks for values.*model.critic_groups="):
        TaskModel(OnCart(blind)).refuse_unlearnable()


def test_what_an_algorithm_does_not_ask_for_is_not_missed(config, monkeypatch):
    class Own(Lined):
        def update_model(self, algorithm, context, learning, experience, key):
            return learning, {}

    TaskModel(Own(config)).refuse_unlearnable()
    blind = dataclasses.replace(config, model={**config.model, "critic_groups": []})
    monkeypatch.setattr(PPO, "needs_value", Algorithm.needs_value)
    TaskModel(OnCart(blind)).refuse_unlearnable()
    monkeypatch.setattr(PPO, "needs_ppo_variables", False)
    TaskModel(Lined(config)).refuse_unlearnable()


@pytest.mark.parametrize("task", [Halved, Judged])
def test_a_model_of_another_kind_is_trained(config, task):
    task_model = TaskModel(task(config))
    context = task_model.make_context(task_model.make_env(4), 3)
    start = jax.jit(partial(init, task_model.algorithm, context))(jax.random.key(0))
    after, metrics, _ = jax.jit(partial(train_step, task_model.algorithm, context))(start)
    assert metrics["skipped_updates"] == 0 and metrics["grad_norm"] > 0
    moved = jax.tree.map(
        lambda a, b: not np.array_equal(a, b),
        start.learner.variables.params,
        after.learner.variables.params,
    )
    assert all(jax.tree.leaves(moved))
    for leaf in jax.tree.leaves(after.learner.variables):
        assert np.isfinite(leaf).all()


def test_a_task_needs_an_actuator(config):
    with pytest.raises(UserError, match="actuators: none"):
        TaskModel(make_task(dataclasses.replace(config, actuators={})))


def test_a_wrong_term_is_named_by_its_path(config):
    wrong = {"balance": {"type": "cartpole_balanc"}}
    with pytest.raises(UserError, match=r"rewards.balance.type.*Did you mean 'cartpole_balance'"):
        TaskModel(make_task(dataclasses.replace(config, rewards=wrong)))


def test_without_a_time_limit_an_evaluation_has_one(config):
    endless = dataclasses.replace(config, terminations={}, eval_length_seconds=3.0)
    assert TaskModel(make_task(endless)).episode_steps() == 300


def test_the_runs_timing_and_clips_reach_the_environments(config):
    changed = dataclasses.replace(
        config,
        ctrl_dt=0.05,
        action_clip_max=7.0,
        reward_clip_min=-1.0,
        reward_clip_max=3.0,
        engine=dataclasses.replace(config.engine, num_threads=3),
    )
    env = TaskModel(make_task(changed)).make_env(2)
    # 0.05 s at 0.01 s per physics step.
    assert (env.timing.ctrl_dt, env.timing.num_substeps) == (0.05, 5)
    assert env.limits.action_clip == 7.0
    assert env.limits.reward_clip == (-1.0, 3.0)
    assert env.engine.spec.num_threads == 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heavier(Randomizer):
    def __call__(self, model, rng):
        model.body_mass[:] *= rng.uniform(1.5, 2.0)


def test_only_training_runs_on_randomised_models(config):
    class Randomised(Task):
        def get_mujoco_model(self):
            return load_task("cartpole")(self.config).get_mujoco_model()

        def get_physics_randomizers(self):
            return {"heavier": Heavier()}

    task_model = TaskModel(Randomised(config))
    assert task_model.make_env(2).engine.spec.variants is None
    one, two = task_model.make_env(2, training=True).engine.spec.variants.values("body_mass")
    nominal = task_model.model.body_mass
    assert (one[1:] >= 1.49 * nominal[1:]).all()
    assert not np.array_equal(one, two)


def test_training_environments_begin_anywhere_in_their_first_episode(config):
    task_model = TaskModel(make_task(config))
    assert task_model.make_env(4, training=True).limits.stagger_steps == 1000
    assert task_model.make_env(4).limits.stagger_steps == 0
    together = dataclasses.replace(config, stagger_episodes=False)
    task_model = TaskModel(make_task(together))
    assert task_model.make_env(4, training=True).limits.stagger_steps == 0


def test_a_policy_plays_the_task(task_model):
    env = task_model.make_env(4)
    player = make_player(task_model.algorithm, task_model.make_context(env, 5))

    def run(key):
        state = PolicyState(task_model.policy.init(key), (), jnp.ones(()))
        return play(player, state, player.start(key), key, 5)[1]

    experience = jax.jit(run)(jax.random.key(0))
    assert experience.action.shape == (5, 4, 1)
    for leaf in jax.tree.leaves(experience):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize(
    ("text", "copies"),
    [
        ('<replicate count="300000">', 300000),
        ("<replicate\n euler='0 0 1' count = ' 10001'>", 10001),
        ('<replicate count="200"><replicate count="200">', 40000),
        ('<replicate count="' + "9" * 5000 + '">', 999999999),
        ('<replicate count="9000"></replicate><replicate count="9000"></replicate>', 0),
        ('<replicate count="10000">', 0),
    ],
)
def test_a_model_that_would_compile_for_hours_is_refused(tmp_path, text, copies):
    file = tmp_path / "robot.xml"
    file.write_text(f"<mujoco><worldbody>{text}")
    if not copies:
        return refuse_huge(file)
    with pytest.raises(UserError, match=f"makes {copies} copies, at most 10000"):
        refuse_huge(file)


def test_a_model_of_gigabytes_is_not_read(tmp_path):
    file = tmp_path / "robot.xml"
    with open(file, "wb") as sparse:
        sparse.truncate(2**33)
    with pytest.raises(UserError, match="at most 67108864"):
        refuse_huge(file)


def swinging(*overrides):
    """The cart-pole imitating a swing of the pole, which lies where the test is."""
    angle = 0.2 * np.sin(np.linspace(0.0, 6.0, 40))
    names = np.array(["slider", "hinge"])
    np.savez("swing.npz", qpos=np.stack([0 * angle, angle], 1), fps=100, joint_names=names)
    return TaskModel(make_task(tiny_cartpole("algo=amp", "motion.files=[swing.npz]", *overrides)))


def test_an_algorithm_sees_the_motion_and_weighs_the_tasks_rewards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = swinging("algo.task_reward_weight=0.25", "rewards.balance.weight=2")
    model.refuse_unlearnable()
    (seen,) = model.motion_observations(["discriminator"])
    assert seen.weight == 1.0 and seen.obs["discriminator"].shape == (40, 4)
    np.testing.assert_allclose(seen.obs["discriminator"][:, 1], model.motions.arrays.qpos[:, 1])
    assert model.mdp.rewards["balance"].weight == 0.5
    assert model.motion_observations(["discriminator"])[0] is seen, "read once"


def test_what_an_algorithm_cannot_learn_from_is_refused_before_a_run_begins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = "+observations.told={type: action_position, groups: [discriminator]}"
    with pytest.raises(UserError, match=r"observations.told: reads what a motion does not tell"):
        swinging(told).refuse_unlearnable()
    with pytest.raises(UserError, match=r"observations.disc_joint_velocity: the algorithm adds"):
        swinging("+observations.disc_joint_velocity={type: joint_velocity}")
    with pytest.raises(UserError, match=r"motion: none is given"):
        TaskModel(load_task("cartpole")(tiny_cartpole())).motion_observations(["actor"])


def test_a_recorded_rollout_is_seen_as_a_motion_as_it_was_when_it_was_played(tmp_path):
    """`ksim collect`, and its dataset as `motion=`, for what positions and velocities tell."""
    terms = (
        "+observations.style={type: joint_velocity, groups: [style], history: 2}",
        "+observations.tip={type: body_position, bodies: [pole], groups: [style]}",
    )
    task = ("task=cartpole", "integrator=implicitfast", "dt=0.005", "engine=mujoco", *terms)
    small = ("num_envs=2", "batch_size=2", "rollout_length_frames=12")
    collect = (*task, *small, "policy=random", "dataset_groups=[style]", "dataset_save_path=data")
    ksim("collect", *collect, cwd=tmp_path, check=0)
    config = run_config(*task, *small, f"motion.files=[{tmp_path / 'data'}]")
    clips = TaskModel(make_task(config)).motion_observations(["style"])
    assert len(clips) == 2
    for i, clip in enumerate(clips):
        path = tmp_path / "data" / "data" / "main_data.hdf5"
        played = read_arrays(path, f"episode_{i}")["observations"]
        # A frame is of after its step, and remembers nothing of before the first.
        np.testing.assert_allclose(clip.obs["style"][1:], played[2:], atol=1e-5)
        np.testing.assert_allclose(clip.obs["style"][:, 2:], played[1:, 2:], atol=1e-5)
