"""The task: what a user writes.

A task is a class under a registered name, and often less than that: a model and a YAML. Every
method has a default that builds from the config; override any of them. The algorithm is chosen
beside it (`algo=ppo`), not inherited.
"""

import inspect
import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import mujoco
import optax

from ksim_cli import mdp, models, registry, rl
from ksim_cli.config.components import JointMetadata
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError, nearest
from ksim_cli.mdp.actuators import Actuator
from ksim_cli.mdp.term import (
    Command,
    Curriculum,
    Event,
    Observation,
    Randomizer,
    Reset,
    Reward,
    Term,
    Termination,
)
from ksim_cli.models.policy import (
    ActionSample,
    Observations,
    PPOVariables,
    initial_carry,
    ppo_variables,
    sample_action,
)
from ksim_cli.paths import project_roots
from ksim_cli.physics.joint_metadata import joint_metadata
from ksim_cli.physics.model import load_spec
from ksim_cli.registry import TASKS, Registry
from ksim_cli.rl.algorithm import Context, Learning

mdp.register_terms()
models.register_models()
rl.register_algorithms()


MAX_MODEL_BYTES = 2**26
MAX_COPIES = 10_000
"""Bytes of an MJCF and copies by `<replicate>`, nested ones multiplied, that are compiled."""

_REPLICATE = re.compile(
    rb"(?P<end></replicate\b)|<replicate\b(?:[^>]*?\bcount\s*=\s*[\"']\s*\+?(?P<count>\d+))?"
)


@TASKS.register("task")
class Task:
    """A task made of nothing but its config; the base of every other.

    Args:
        config: the run's configuration.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    # The environment.

    def get_mujoco_model(self) -> Any:
        """The model as an `MjSpec`, not yet compiled, so that terms can add to it.

        An override may return an `MjModel` instead, which is taken as it is: its own motors are
        driven, and nothing can be added (`engine=mujoco`, unless an engine is typed); or an
        `mjx.Data` of the model below, whose `qpos` is the home pose then (`engine=mjx`).

        Default: the MJCF file `task.model`, without it `<name of the task>.xml`. It is looked for
        beside the task's class and in `tasks/` and `tasks/<name of the task>/`, the user's first;
        then beside those that its class and its YAML extend.
        """
        file = model_file(self)
        refuse_huge(file)
        return load_spec(file)

    def get_mujoco_model_metadata(self, spec: mujoco.MjSpec) -> dict[str, JointMetadata]:
        """joint name -> gains, limits, friction, armature. Default: the config's `joints`.

        Args:
            spec: the model, before its actuators are replaced.
        """
        return joint_metadata(
            spec,
            {
                pattern: registry.make(JointMetadata, values, f"joints.{pattern}")
                for pattern, values in self.config.joints.items()
            },
        )

    def get_actuators(self) -> dict[str, Actuator]:
        """name -> actuator. Default: the config's `actuators`."""
        return build_terms(registry.ACTUATORS, self.config.actuators, "actuators")

    def get_observations(self) -> dict[str, Observation]:
        """name -> observation, in the order the networks see them. Default: `observations`."""
        return build_terms(registry.OBSERVATIONS, self.config.observations, "observations")

    def get_commands(self) -> dict[str, Command]:
        """name -> command. Default: the config's `commands`."""
        return build_terms(registry.COMMANDS, self.config.commands, "commands")

    def get_terminations(self) -> dict[str, Termination]:
        """name -> termination. Default: the config's `terminations`."""
        return build_terms(registry.TERMINATIONS, self.config.terminations, "terminations")

    def get_resets(self) -> dict[str, Reset]:
        """name -> reset, applied in this order. Default: the config's `resets`."""
        return build_terms(registry.RESETS, self.config.resets, "resets")

    def get_events(self) -> dict[str, Event]:
        """name -> event. Default: the config's `events`."""
        return build_terms(registry.EVENTS, self.config.events, "events")

    def get_rewards(self) -> dict[str, Reward]:
        """name -> reward. Default: the config's `rewards`."""
        return build_terms(registry.REWARDS, self.config.rewards, "rewards")

    def get_curriculum(self) -> Curriculum:
        """Curriculum, which moves the level. Default: the config's `curriculum`."""
        return registry.CURRICULA.build(self.config.curriculum, "curriculum")

    def get_physics_randomizers(self) -> dict[str, Randomizer]:
        """name -> randomizer, applied in this order. Default: the config's `randomization`."""
        return build_terms(registry.RANDOMIZERS, self.config.randomization, "randomization")

    # The model. `model` below is what `get_model` gives, with the weights of now in it.

    def get_model(
        self, observation_sizes: Mapping[str, int], action_size: int, key: jax.Array
    ) -> Any:
        """The networks. Default: the config's `model`.

        A Flax NNX or Linen module, an Equinox module or any pytree of arrays, or an object with
        nothing to learn. One with the methods of `ksim_cli.models.actor_critic.ActorCritic` is used
        as it is; for another override the methods below.

        Args:
            observation_sizes: observation group -> size.
            action_size: elements of an action.
            key: random key of the weights.
        """
        model = registry.MODELS.build(self.config.model, "model")
        return model.build(observation_sizes, action_size, key)

    def get_initial_model_carry(self, model: Any, num_envs: int) -> Any:
        """The model's carry at the start of an episode, leading axis N. Default: the model's own.

        It must not depend on the weights.
        """
        return initial_carry(model, num_envs)

    def sample_action(
        self, model: Any, obs: Observations, carry: Any, key: jax.Array, argmax: bool
    ) -> ActionSample:
        """Act in N environments. Default: a sample of the model's distribution, or its mode.

        Args:
            model: the model.
            obs: observation group -> `[N, O]`.
            carry: the model's carry.
            key: random key.
            argmax: no chance: `ksim eval` and `ksim view` ask for that.

        Returns:
            The action and the new carry. `log_prob` and `value` may be left out; auxiliary outputs
            go into `aux`. Who changes the default's action and does not override
            `get_ppo_variables` sets `log_prob` and `raw_action`, which are of the action
            before the change, to None.
        """
        return sample_action(model, obs, carry, key, argmax)

    # The algorithm.

    def get_optimizer(self) -> optax.GradientTransformation:
        """The optimizer of the parameters. Default: the config's `optimizer`."""
        return registry.OPTIMIZERS.build(self.config.optimizer, "optimizer").build()

    def get_ppo_variables(
        self, model: Any, obs: Observations, action: jax.Array, carry: Any
    ) -> PPOVariables:
        """What a loss needs of stored transitions. Default: by the model's distribution and value.

        A recurrent model is asked step by step: `carry` is what it remembers before the step, and
        the answer's `carry` what it remembers after it.

        Args:
            model: the model.
            obs: observation group -> `[B, O]`.
            action: `[B, A]` the stored actions; the value must not depend on them.
            carry: the model's carry.
        """
        return ppo_variables(model, obs, action, carry)

    def update_model(
        self, algorithm: Any, context: Context, learning: Learning, experience: Any, key: jax.Array
    ) -> tuple[Learning, dict[str, jax.Array]]:
        """One update from a rollout, and scalars to log. Default: the algorithm's `update`.

        Args:
            algorithm: the chosen algorithm.
            context: what is trained where.
            learning: the learner's state, and what the algorithm keeps for each environment.
            experience: the rollout, a `ksim_cli.rl.rollout.Experience`.
            key: random key.
        """
        return algorithm.update(context, learning, experience, key)


GETTERS = {
    "actuators": "get_actuators",
    "observations": "get_observations",
    "commands": "get_commands",
    "terminations": "get_terminations",
    "resets": "get_resets",
    "events": "get_events",
    "rewards": "get_rewards",
    "randomization": "get_physics_randomizers",
}
"""Kind of term -> the method of a task that gives them."""


def by_name(given: Any, getter: str) -> dict[str, Any]:
    """name -> term of what a task's method gave: a mapping, a list, or a single term.

    In a list each is named like its class in snake_case, the second of a name `name_2`.

    Args:
        given: what it gave.
        getter: the method's name, for the message.

    Raises:
        UserError: it is something else.
    """
    if isinstance(given, Mapping):
        return {str(name): term for name, term in given.items()}
    terms = [given] if isinstance(given, Term) else given
    if not isinstance(terms, list | tuple) or not all(isinstance(term, Term) for term in terms):
        raise UserError(
            f"{getter}: returned an object of type {type(given).__name__}. Return a dict"
            " name -> term, a list of terms, or one term"
        )
    named: dict[str, Any] = {}
    for term in terms:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(term).__name__)
        name = name.lower()
        count = sum(type(other) is type(term) for other in named.values())
        named[f"{name}_{count + 1}" if count else name] = term
    return named


def model_file(task: Task) -> Path:
    """The file that `Task.get_mujoco_model` reads by default; it may not be there."""
    files = _model_files(task)
    return next((file for file in files if file.is_file()), files[0])


def refuse_huge(file: Path) -> None:
    """Refuses an MJCF that MuJoCo would compile for hours: too large, or `<replicate>` too often.

    Only the file itself is looked at: not what it includes, nor its meshes, nor `<composite>` and
    `<flexcomp>`.

    Raises:
        UserError: it says which, and the most there may be.
    """
    if not file.is_file():
        return  # its reader says so
    if (size := file.stat().st_size) > MAX_MODEL_BYTES:
        raise UserError(f"{file}: has {size} bytes, at most {MAX_MODEL_BYTES}. Use a smaller model")
    copies = [1]
    for tag in _REPLICATE.finditer(file.read_bytes()):
        if tag["end"]:
            copies = copies[:-1] or [1]
            continue
        count = int(tag["count"][:9]) if tag["count"] else 1
        copies.append(copies[-1] * count)
        if copies[-1] > MAX_COPIES:
            raise UserError(
                f"{file}: <replicate> makes {copies[-1]} copies, at most {MAX_COPIES}."
                " Lower its count"
            )


def _model_files(task: Task) -> list[Path]:
    """Places of a task's MJCF, the nearest first."""
    section = task.config.task
    names = [section.name, *section.extends]
    # Options that say nothing of a class inherit it: what is theirs stands before what is its.
    nearer = names.index(section.type) if section.type in names else 0
    classes = [cls for cls in type(task).__mro__ if issubclass(cls, Task) and cls is not Task]
    beside = [
        (Path(inspect.getfile(cls)).parent, TASKS.find_name(cls) or section.type) for cls in classes
    ]
    places = [
        [(root / "tasks" / part, name) for root in project_roots() for part in (name, "")]
        for name in names
    ]
    near = [*chain(*places[:nearer]), *beside, *chain(*places[nearer:])]
    return [folder / (section.model or f"{name}.xml") for folder, name in near]


def build_terms(kind: Registry[Any], section: Mapping[str, Any], where: str) -> dict[str, Any]:
    """name -> term for a section of the config; an entry set to null is left out.

    Raises:
        UserError: an entry that names no registered term, or gives it a wrong parameter.
    """
    terms = {}
    for name, entry in section.items():
        if isinstance(entry, Mapping) and "type" not in entry:
            # Most likely a field was to be set of a term that is there.
            hint = nearest(name, [other for other in section if other != name])
            if hint:
                raise UserError(f"{where}.{name}: no {kind.kind} of that name, and no type.{hint}")
        if entry is not None:
            terms[name] = kind.build(entry, f"{where}.{name}")
    return terms
