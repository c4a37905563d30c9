"""Inspection of bound terms: each is called once under abstract evaluation."""

from collections import UserDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.errors import UserError, error_context, listing, nearest
from ksim_cli.mdp.manager import blank_step
from ksim_cli.mdp.markers import markers_of
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.term import Command, Disturbance, Pose, checked
from ksim_cli.own_code import place_of
from ksim_cli.physics.engine import View, fields_read
from ksim_cli.types import Step

T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """Inputs and outputs of a task's terms: what they read and give.

    Attributes:
        fields: `mjData` fields that any term reads.
        reward_fields: those that rewards and errors of commands read.
        sizes: observation -> elements of its value, without history.
        groups: group -> observation -> elements with history, in the order of the group's vector.
        marker_fields: those that markers read.
        commands: command -> whether it reads the view, itself or through a command that it reads;
            in an order in which each comes after those it reads.
        command_shapes: command -> shape of its value.
    """

    fields: frozenset[str]
    reward_fields: frozenset[str]
    sizes: Mapping[str, int]
    groups: Mapping[str, Mapping[str, int]]
    commands: Mapping[str, bool]
    command_shapes: Mapping[str, tuple[int, ...]]
    marker_fields: frozenset[str] = frozenset()

    @property
    def group_sizes(self) -> dict[str, int]:
        """group -> elements of its vector."""
        return {group: sum(sizes.values()) for group, sizes in self.groups.items()}


def inspect_terms(
    model: mujoco.MjModel, mdp: Mdp, aux: Callable[[dict[str, int]], Any] | None = None
) -> Layout:
    """Call every term once, under abstract evaluation.

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
    key = jax.random.key(0)
    sizes: dict[str, int] = {}
    reads_view: dict[str, bool] = {}
    commands: dict[str, Any] = {}

    def look(view: View) -> None:
        step = _step(model, mdp, view)
        trace = _CommandTrace(mdp.commands, step)
        values = {name: trace[name] for name in mdp.commands}
        reads_view.update((name, name in trace.viewers) for name in trace.evaluated)
        commands.update((name, jax.typeof(value)) for name, value in values.items())
        early = {name: value for name, value in values.items() if not reads_view[name]}
        step = step.replace(commands=values)
        pose = Pose(qpos=jnp.zeros(model.nq), qvel=jnp.zeros(model.nv), commands=early)
        _call("terminations", mdp.terminations, lambda t: _scalar(t, _value(t, step)))
        _call("events", mdp.events, lambda t: _instance(t, Disturbance, _value(t, step, key)))
        _call("resets", mdp.resets, lambda t: _instance(t, Pose, t(pose, key, step.level)))
        observations = _call(
            "observations", mdp.observations, lambda t: _vector(t, _value(t, step, key))
        )
        sizes.update(observations)

    fields = fields_read(model, look)
    groups: dict[str, dict[str, int]] = {}
    for name, term in mdp.observations.items():
        for group in term.groups:
            groups.setdefault(group, {})[name] = sizes[name] * term.history
    shapes = {name: value.shape for name, value in commands.items()}
    layout = Layout(fields, frozenset(), sizes, groups, reads_view, shapes)
    extra = () if aux is None else aux(layout.group_sizes)

    scored = partial(_scored_step, model, mdp, commands, extra)
    reward_fields = fields_read(model, lambda view: _score(mdp, scored(view)))
    return replace(
        layout,
        fields=fields | reward_fields,
        reward_fields=reward_fields,
        marker_fields=fields_read(model, lambda view: markers_of(mdp, scored(view))),
    )


def _scored_step(
    model: mujoco.MjModel, mdp: Mdp, commands: Mapping[str, Any], aux: Any, view: View
) -> Step:
    """A step as rewards see it: commands are shapes here, and so are auxiliary outputs."""
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (commands, aux))
    return _step(model, mdp, view).replace(commands=zeros[0], aux=zeros[1], zero_offset=None)


def _score(mdp: Mdp, step: Step) -> None:
    _call("rewards", mdp.rewards, lambda t: _scalar(t, _value(t, step)))
    for name, term in mdp.commands.items():
        if term.is_measured:
            with error_context(f"commands.{name}"):
                _scalar(term, term.error(step, step.commands[name]))


class _CommandTrace(UserDict[str, Any]):
    """The commands as commands see them here: each is evaluated when it is first read.

    Attributes:
        evaluated: command -> value, in the order of evaluation.
        viewers: commands that read the view, themselves or through those they read.
    """

    def __init__(self, terms: Mapping[str, Command], step: Step) -> None:
        super().__init__(terms)
        self._step = step
        self._path: list[str] = []
        self.evaluated: dict[str, jax.Array] = {}
        self.viewers: set[str] = set()

    def __getitem__(self, key: str) -> jax.Array:
        if (term := self.data.get(key)) is None:
            raise UserError(
                f"no command '{key}'.{nearest(key, self.data)} Commands: {listing(self.data)}"
            )
        if key in self._path:
            circle = " > ".join([*self._path[self._path.index(key) :], key])
            raise UserError(f"commands read each other in a circle: {circle}")
        if key not in self.evaluated:
            self._path.append(key)
            view = _RecordingView(self._step.view)
            step, seed = self._step.replace(view=view, commands=self), jax.random.key(0)
            with error_context(f"commands.{key}"):
                value = jnp.asarray(_value(term, step, seed))
            self.evaluated[self._path.pop()] = value
            if view.read:
                self.viewers.add(key)
        if self._path and key in self.viewers:
            self.viewers.add(self._path[-1])
        return self.evaluated[key]


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
    size, zero = sum(a.action_size for a in mdp.actuators.values()), jnp.zeros(())
    step = blank_step(size, zero, zero)
    return step.replace(view=view, zero_offset=jnp.zeros(model.nq))


def _call(kind: str, terms: Mapping[str, T], call: Callable[[T], Any]) -> dict[str, Any]:
    """name -> what `call` gives for each term; a complaint is led by the term's config path."""
    given = {}
    for name, term in terms.items():
        with error_context(f"{kind}.{name}"):
            given[name] = call(term)
    return given


def _value(term: Any, *arguments: Any) -> Any:
    """What the call of a term with a carry gives beside the carry."""
    carry = term.init(jax.random.key(0))
    step, *rest = arguments
    return checked(term, term(step, carry, *rest), carry)[0]


def _instance(term: Any, wanted: type, value: Any) -> None:
    if not isinstance(value, wanted):
        raise UserError(
            f"its call gave a {type(value).__name__}{place_of(type(term))}, not a {wanted.__name__}"
        )


def _vector(term: Any, value: Any) -> int:
    if jnp.ndim(value) != 1:
        place = place_of(type(term))
        raise UserError(f"not a vector but of shape {jnp.shape(value)}{place}")
    return jnp.size(value)


def _scalar(term: Any, value: Any) -> None:
    if jnp.ndim(value):
        raise UserError(f"not a scalar but {jnp.shape(value)}{place_of(type(term))}")
