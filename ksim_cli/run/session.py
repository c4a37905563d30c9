"""One environment that is played step by step while a person looks on, and steers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import mujoco
import numpy as np
from flax import struct

from ksim_cli.env import TaskEnv
from ksim_cli.mdp.steering import steer, steerable
from ksim_cli.mdp.term import Disturbance, Latch
from ksim_cli.rl.rollout import Player, Playing, PolicyState, play
from ksim_cli.task_model import TaskModel

TORQUE = "actuator_force"
"""The field of the view that is shown as torques."""


class Shown(struct.PyTreeNode):
    """A step as it is shown: the numbers that training would have learned from.

    Attributes:
        qpos: `[nq]` after the step and before any reset.
        qvel: `[nv]` then.
        time: s since the episode began.
        obs: group -> `[O]` what the policy saw before it acted.
        action: `[A]`.
        torque: `[nu]` what the motors gave at the step's end, N m or N.
        reward: the total reward.
        rewards: name -> weighted reward.
        commands: name -> the value in force.
        command_errors: name -> how far the step was from it, in its unit.
        ended: bool, the episode ended with this step.
        quarantined: int32, what was not finite: 1 + its place among the suspects; 0: nothing.
    """

    qpos: Any
    qvel: Any
    time: Any
    obs: dict[str, Any]
    action: Any
    torque: Any
    reward: Any
    rewards: dict[str, Any]
    commands: dict[str, Any]
    command_errors: dict[str, Any]
    ended: Any
    quarantined: Any


@dataclass
class Wishes:
    """What a person wants of the next step.

    Attributes:
        held: command -> the value it is held at; the others are drawn as in training.
        velocity: `[nv]` added to the velocities, once; None: nothing.
        force: `[nbody, 6]` force (N) and torque (N m) on each body, in the world frame, at the
            bodies' centres of mass; None: none.
    """

    held: dict[str, np.ndarray] = field(default_factory=dict)
    velocity: np.ndarray | None = None
    force: np.ndarray | None = None


def make_steerable(task_model: TaskModel) -> TaskEnv:
    """One environment of a task whose commands can be held and whose bodies can be pushed."""
    mdp = steerable(task_model.mdp, task_model.layout, task_model.model)
    return task_model.make_env(1, recorded=(TORQUE,), mdp=mdp)


class Session:
    """One environment, and a policy that acts in it.

    Attributes:
        env: the environment, from `make_steerable`.
        shown: the last step; None before the first.
    """

    def __init__(self, player: Player, policy: PolicyState, seed: int) -> None:
        """Compile a step, and begin the first episode.

        Args:
            player: acts in a steerable environment.
            policy: what it acts with.
            seed: of all that is drawn.
        """
        assert isinstance(player.env, TaskEnv)
        self.env: TaskEnv = player.env
        self._policy = policy
        self._key, self._actions = jax.random.split(jax.random.key(seed))
        self._episodes = self._count = 0
        self._start = jax.jit(player.start)
        self._begin = jax.jit(self.env.begin_rollout)
        self._playing = self._start(self._key, policy.level, policy.iteration)
        self._steps: dict[int, tuple[Player, Callable[..., tuple[Playing, Shown]]]] = {}
        self._use(player)
        self.shown: Shown | None = None

    @property
    def model(self) -> mujoco.MjModel:
        """The robot."""
        return self.env.engine.spec.model

    @property
    def layout(self) -> Mapping[str, Mapping[str, int]]:
        """Group -> name -> size of what is observed."""
        return self.env.observation_layout

    @property
    def title(self) -> str:
        """Nothing: who acts says it all."""
        return ""

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """`qpos` and `qvel` that the next step begins with."""
        view = self.env.engine.view(self._playing.env.physics)
        qpos, qvel = jax.device_get((view.qpos[0], view.qvel[0]))
        return qpos, qvel

    def commands(self) -> dict[str, np.ndarray]:
        """Command -> its value in force."""
        return {k: v[0] for k, v in jax.device_get(self._playing.env.commands).items()}

    def restart(self) -> None:
        """Begin another episode, drawn anew."""
        self._episodes += 1
        key, policy = jax.random.fold_in(self._key, self._episodes), self._policy
        self._playing = self._start(key, policy.level, policy.iteration)
        self.shown = None

    def take(self, policy: PolicyState, player: Player | None = None) -> None:
        """Act with another policy from now on; the episode goes on.

        Args:
            policy: what is acted with.
            player: acts, in this session's environment; None: who does, with the memory he has.
        """
        self._policy = policy
        if player is not None and player is not self._player:
            carry = player.policy.initial_carry(1)
            self._playing = self._playing.replace(carry=carry, learned=player.start_learned())
            self._start = jax.jit(player.start)
            self._use(player)

    def step(self, wishes: Wishes) -> Shown:
        """One control step; an episode that ends with it is followed by the next one."""
        self._playing, shown = self._steps[id(self._player)][1](
            self._policy, self._playing, self._actions, self._count, *self._arrays(wishes)
        )
        self._count += 1
        self.shown = jax.device_get(shown)
        assert self.shown is not None
        if self.shown.ended:
            self._playing = self._playing.replace(env=self._begin(self._playing.env))
        return self.shown

    def _use(self, player: Player) -> None:
        """Compiles a step of who acts, the first time he does."""
        self._player = player
        if id(player) in self._steps:
            return
        now = (self._policy, self._playing, self._actions, self._count)
        step = jax.jit(self._step).lower(*now, *self._arrays(Wishes())).compile()
        self._steps[id(player)] = player, step

    def _step(
        self,
        policy: PolicyState,
        playing: Playing,
        key: jax.Array,
        count: jax.Array,
        held: Mapping[str, Latch],
        push: Disturbance,
    ) -> tuple[Playing, Shown]:
        playing = playing.replace(env=steer(playing.env, held, push))
        playing, experience = play(self._player, policy, playing, jax.random.fold_in(key, count), 1)
        steps, scores = experience.results.steps, experience.scores
        shown = Shown(
            qpos=steps.view.qpos,
            qvel=steps.view.qvel,
            time=steps.time,
            obs=experience.obs,
            action=experience.action,
            torque=getattr(steps.view, TORQUE),
            reward=scores.total,
            rewards=scores.components,
            commands=steps.commands,
            command_errors=scores.command_errors,
            ended=experience.was_reset,
            quarantined=experience.results.quarantined,
        )
        return playing, jax.tree.map(lambda x: x[0, 0], shown)

    def _arrays(self, wishes: Wishes) -> tuple[dict[str, Latch], Disturbance]:
        """The wishes as `steer` takes them; NumPy's, which a compiled program takes at once."""
        model, held = self.model, {}

        def row(value: Any, *shape: int) -> Any:
            return np.asarray(np.zeros(shape) if value is None else value, np.float32)[None]

        for name, now in self._playing.env.commands.items():
            value = wishes.held.get(name)
            is_held: Any = np.full(1, value is not None)
            held[name] = Latch(row(value, *now.shape[1:]), is_held)
        push = Disturbance(
            velocity=row(wishes.velocity, model.nv), force=row(wishes.force, model.nbody, 6)
        )
        return held, push
