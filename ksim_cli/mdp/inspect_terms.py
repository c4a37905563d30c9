"""What bound terms read and give, found by calling each once under abstract evaluation."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.errors import UserError
from ksim_cli.mdp.mdp import Mdp, error_context
from ksim_cli.mdp.term import Command, Pose
from ksim_cli.physics.engine import View, fields_read
from ksim_cli.types import Step


@dataclass(frozen=True)
class Layout:
    """What the terms of a task read and give.

    Attributes:
        fields: `mjData` fields that any term reads.
        reward_fields: those that rewards and errors of commands read.
        sizes: observation -> elements of its value, without history.
        groups: group -> observation -> elements with history, in the order of the group's vector.
        commands: command -> whether it reads the view, itself or through a command that it reads;
            in an order in which each comes after those it reads.
    """

    fields: frozenset[str]
    reward_fields: frozenset[str]
    sizes: Mapping[str, int]
    groups: Mapping[str, Mapping[str, int]]
    commands: Mapping[str, bool]

    @property
    def group_sizes(self) -> dict[str, int]:
        """group -> elements of its vector."""
        return {group: sum(sizes.values()) for group, sizes in self.groups.items()}


def inspect_terms(
    model: mujoco.MjModel, mdp: Mdp, aux: Callable[[dict[str, int]], Any] | None = None
) -> Layout:
    """Call every term once.

    Args:
        model: the compiled model.
        mdp: the terms, bound to it.
        aux: given group -> size, gives a pytree of `jax.ShapeDtypeStruct`: what rewards see as
            `step.aux` of one environment; None: `()`.

    Raises:
        UserError: a term reads what there is not, or gives what it must not (an observation that
            is no vector, a reward that is no scalar), under its config path; there is no
            observation.
    """
    if not mdp.observations:
        raise UserError("observations: none; a task needs at least one")
    sizes: dict[str, int] = {}
    reads_view: dict[str, bool] = {}
    commands: dict[str, Any] = {}

    def look(view: View) -> None:
        step = _step(model, mdp, view)
        trace = _CommandTrace(mdp.commands, step)
        values = {name: trace[name] for name in mdp.commands}
        reads_view.update((name, name in trace.viewers) for name in trace.values_now)
        commands.update((name, jax.typeof(value)) for name, value in values.items())
        step = step.replace(commands=values)
        sizes.update(_observation_sizes(mdp, step))
        _call_others(model, mdp, step, {n: v for n, v in values.items() if not reads_view[n]})

    fields = fields_read(model, look)
    groups: dict[str, dict[str, int]] = {}
    for name, term in mdp.observations.items():
        for group in term.groups:
            groups.setdefault(group, {})[name] = sizes[name] * term.history
    layout = Layout(fields, frozenset(), sizes, groups, reads_view)
    extra = () if aux is None else aux(layout.group_sizes)

    def score(view: View) -> None:
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (commands, extra))
        step = _step(model, mdp, view).replace(commands=zeros[0], aux=zeros[1], zero_offset=None)
        _call_rewards(mdp, step)

    reward_fields = fields_read(model, score)
    return Layout(fields | reward_fields, reward_fields, sizes, groups, reads_view)


class _CommandTrace(Mapping[str, jax.Array]):
    """The commands as commands see them here: each is evaluated when it is first read.

    Attributes:
        values_now: command -> value, in the order in which they were evaluated.
        viewers: commands that read the view, themselves or through those they read.
    """

    def __init__(self, terms: Mapping[str, Command], step: Step) -> None:
        self._terms = terms
        self._step = step
        self._path: list[str] = []
        self.values_now: dict[str, jax.Array] = {}
        self.viewers: set[str] = set()

    def __getitem__(self, name: str) -> jax.Array:
        term = self._terms[name]
        if name in self._path:
            circle = " > ".join([*self._path[self._path.index(name) :], name])
            raise UserError(f"commands read each other in a circle: {circle}")
        if name not in self.values_now:
            self._path.append(name)
            view, key = _RecordingView(self._step.view), jax.random.key(0)
            step = self._step.replace(view=view, commands=self)
            with error_context(f"commands.{name}"):
                value, _ = term(step, term.init(key), key)
            self._path.pop()
            self.values_now[name] = value
            if view.read:
                self.viewers.add(name)
        if self._path and name in self.viewers:
            self.viewers.add(self._path[-1])
        return self.values_now[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._terms)

    def __len__(self) -> int:
        return len(self._terms)

    def __contains__(self, name: object) -> bool:
        return name in self._terms


class _RecordingView(View):
    """A view that notes which fields of another one are read."""

    __slots__ = ("_inner", "read")

    def __init__(self, inner: View) -> None:
        super().__init__({})
        self._inner = inner
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self._inner, name)


def _step(model: mujoco.MjModel, mdp: Mdp, view: View) -> Step:
    zero = jnp.zeros((), jnp.float32)
    return Step(
        view=view,
        action=jnp.zeros(sum(a.action_size for a in mdp.actuators.values())),
        commands={},
        time=zero,
        termination=jnp.zeros((), jnp.int32),
        truncated=jnp.zeros((), bool),
        level=zero,
        zero_offset=jnp.zeros(model.nq),
    )


def _observation_sizes(mdp: Mdp, step: Step) -> dict[str, int]:
    key, sizes = jax.random.key(0), {}
    for name, term in mdp.observations.items():
        with error_context(f"observations.{name}"):
            shape = jnp.shape(term(step, term.init(key), key)[0])
            if len(shape) != 1:
                raise UserError(f"not a vector but of shape {shape}")
        sizes[name] = shape[0]
    return sizes


def _call_others(
    model: mujoco.MjModel, mdp: Mdp, step: Step, before_reset: dict[str, jax.Array]
) -> None:
    key = jax.random.key(0)
    for name, termination in mdp.terminations.items():
        with error_context(f"terminations.{name}"):
            termination(step, termination.init(key))
    for name, event in mdp.events.items():
        with error_context(f"events.{name}"):
            event(step, event.init(key), key)
    pose = Pose(qpos=jnp.zeros(model.nq), qvel=jnp.zeros(model.nv), commands=before_reset)
    for name, reset in mdp.resets.items():
        with error_context(f"resets.{name}"):
            reset(pose, key, step.level)


def _call_rewards(mdp: Mdp, step: Step) -> None:
    for name, term in mdp.rewards.items():
        with error_context(f"rewards.{name}"):
            shape = jnp.shape(term(step, term.init(jax.random.key(0)))[0])
            if shape:
                raise UserError(f"not a scalar but {shape}")
    for name, term in mdp.commands.items():
        with error_context(f"commands.{name}"):
            term.error(step, step.commands[name])
