"""The pytrees that cross module borders, and the protocol between environments and learning.

Letters in shapes: N environments, T control steps of a rollout, B transitions of a minibatch,
A actions, O observations. Arrays of a rollout are time-major: `[T, N, ...]`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from flax import struct


def per_env(**given: Any) -> Any:
    """A field of a state whose every leaf has a leading axis of N environments."""
    return struct.field(metadata={"per_env": True}, **given)


def shared() -> Any:
    """A field of a state that all environments share."""
    return struct.field(metadata={"per_env": False})


class Step(struct.PyTreeNode):
    """One control step of one environment, as terms see it.

    Attributes:
        view: physics after the step and before any reset.
        action: `[A]` the action taken.
        commands: command name -> value that was in force.
        time: s since the episode began, this step included.
        termination: int32, -1 failure, +1 success, 0 none (what terminations themselves see is 0).
        truncated: bool, the episode ends here for lack of time.
        level: curriculum level in [0, 1].
        ctrl_dt: s between two actions.
        zero_offset: `[nq]` by how much the joints' encoders are off in this episode, rad or m;
            None where that is not known (rewards) or not simulated.
        iteration: int32, iterations of training that are behind the step; None where no term has
            stages.
        aux: what the policy gave beside the action, any pytree; `()` where it gave nothing, and for
            all but rewards.
    """

    view: Any
    action: jax.Array
    commands: dict[str, jax.Array]
    time: jax.Array
    termination: jax.Array
    truncated: jax.Array
    level: jax.Array
    ctrl_dt: float = struct.field(pytree_node=False, default=0.02)
    zero_offset: jax.Array | None = None
    aux: Any = ()
    iteration: jax.Array | None = None


class Marker(struct.PyTreeNode):
    """A shape that a viewer may draw; it is not part of the physics.

    Attributes:
        shape: `sphere`, `box` or `arrow` (along its x axis).
        position: `[3]` centre, or foot of an arrow, world frame, m.
        quaternion: `[4]` orientation, w first.
        size: `[3]` m: radius of a sphere, half sizes of a box, or an arrow's length, width, width.
        rgba: `[4]` colour.
    """

    shape: str = struct.field(pytree_node=False)
    position: jax.Array
    quaternion: jax.Array
    size: jax.Array
    rgba: tuple[float, float, float, float] = struct.field(pytree_node=False)


class StepResult(struct.PyTreeNode):
    """What a step of N environments leaves for learning.

    Attributes:
        steps: `Step` of every environment, leading axis N; rewards are computed from it.
        terminated: `[N]` bool, the episode ended by failure or success.
        truncated: `[N]` bool, the episode ended for lack of time only.
        quarantined: `[N]` int32, what the environment was taken out for as not finite: 1 + its
            place among `Env.suspects`, then `ksim_cli.quarantine.reward_suspects`; 0: it was not.
        causes: termination name -> `[N]` bool, which of them fired.
        distance: `[N]` m, how far the base is, horizontally, from where the episode began.
        final_obs: group -> `[N, O]` the observation after the step and before any reset; only
            meaningful where `truncated`.
        overflow: `[N]` bool, its contacts did not all fit in the engine's buffers.
    """

    steps: Any
    terminated: jax.Array
    truncated: jax.Array
    quarantined: jax.Array
    causes: dict[str, jax.Array]
    distance: jax.Array
    final_obs: dict[str, jax.Array]
    overflow: jax.Array

    @property
    def done(self) -> jax.Array:
        """`[N]` bool: the environment was reset after this step."""
        return self.terminated | self.truncated | (self.quarantined > 0)


class Scores(struct.PyTreeNode):
    """Rewards of a rollout.

    Attributes:
        total: `[T, N]` sum of the weighted components, clipped.
        components: reward name -> `[T, N]` weighted reward.
        command_errors: command name -> `[T, N]` how far the step was from it, in its unit.
    """

    total: jax.Array
    components: dict[str, jax.Array]
    command_errors: dict[str, jax.Array] = struct.field(default_factory=dict)


class PreparedReset(struct.PyTreeNode):
    """The next episode's start of every environment.

    Attributes:
        physics: the engine's prepared reset.
        commands: command name -> `[N, ...]` values, of the commands that do not read the view.
        carries: command name -> carry of those.
        at_fault: `[N]` int32 suspect whose pose was not finite, so that it is the home pose.
    """

    physics: Any
    commands: dict[str, jax.Array]
    carries: dict[str, Any]
    at_fault: jax.Array


class SharedState(struct.PyTreeNode):
    """State that all environments share; it moves between rollouts, from their outcomes.

    Attributes:
        level: curriculum level in [0, 1].
        curriculum: the curriculum's carry.
        iteration: int32, rollouts of training that have ended.
        commands: command name -> what its environments share.
    """

    level: jax.Array
    curriculum: Any
    iteration: jax.Array
    commands: dict[str, Any] = struct.field(default_factory=dict)


class EpisodeStatistics(struct.PyTreeNode):
    """What a curriculum may look at: means over the episodes that ended in a rollout.

    Attributes:
        episodes: how many ended.
        length: mean length, control steps.
        episode_return: mean undiscounted return.
        failure_rate: share that ended in failure.
        distance: mean of `StepResult.distance` at their ends, m.
    """

    episodes: jax.Array
    length: jax.Array
    episode_return: jax.Array
    failure_rate: jax.Array
    distance: jax.Array


class MotionObservations(NamedTuple):
    """A clip of the reference motion as policies see it, at the control rate.

    Attributes:
        obs: observation group -> `[F, O]`.
        weight: of this clip among all; they sum to 1.
    """

    obs: Mapping[str, np.ndarray]
    weight: float


class Env(Protocol):
    """N environments, as learning sees them.

    `state` is a pytree with the attributes `obs`, group -> `[N, O]`, `level` and `iteration`.
    """

    num_envs: int
    action_size: int
    observation_sizes: Mapping[str, int]
    suspects: tuple[str, ...]
    """What may be at fault in a step that is not finite, by its key: `observations.imu`."""
    reward_limit: float
    """Larger rewards, or parts of one, count as not finite."""

    @property
    def command_error_names(self) -> Collection[str]:
        """Names of `Scores.command_errors`."""
        ...

    def init(
        self,
        key: jax.Array,
        level: jax.Array | None = None,
        iteration: jax.Array | None = None,
    ) -> Any:
        """Fresh environments, at a curriculum level or at the one training starts at.

        Args:
            key: random key.
            level: the level.
            iteration: iterations of training that count as done; None: none.
        """
        ...

    def begin_rollout(self, state: Any) -> Any:
        """Called once before each rollout."""
        ...

    def step(self, state: Any, action: jax.Array) -> tuple[Any, StepResult]:
        """One control step of all environments, with automatic resets."""
        ...

    def end_rollout(self, state: Any, results: StepResult, statistics: EpisodeStatistics) -> Any:
        """Called once after each rollout `[T, N]`: what environments share is renewed."""
        ...

    def init_rewards(self) -> Any:
        """The carry of the rewards at the start of training."""
        ...

    def rewards(
        self, carry: Any, results: StepResult, learned: Mapping[str, jax.Array]
    ) -> tuple[Any, Scores]:
        """Scores `[T, N]` steps; the carry goes from one rollout to the next.

        Args:
            carry: the rewards' carry.
            results: the steps.
            learned: name -> `[T, N]` rewards made elsewhere, which count like its own.
        """
        ...


class Preparing(Protocol):
    """What `Algorithm.prepare` may ask the task for, on the host and before anything is traced."""

    @property
    def observation_sizes(self) -> Mapping[str, int]:
        """Observation group -> size."""
        ...

    @property
    def action_size(self) -> int:
        """Elements of an action."""
        ...

    def motion_observations(self, groups: Sequence[str]) -> list[MotionObservations]:
        """What observation groups say along each clip of the reference motion.

        Raises:
            UserError: there is no motion, or it does not tell what an observation of them reads.
        """
        ...
