"""What trains and makes no sense: what is suspicious in a task, and what to type.

Cheap looks at the compiled model, the terms and the home pose, before anything long is compiled.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.mdp.actuators import Actuator
from ksim_cli.mdp.manager import blank_step
from ksim_cli.mdp.rewards.posture import StayAlive
from ksim_cli.mdp.stability import excessive_damping, mobility
from ksim_cli.mdp.stages import first_stage
from ksim_cli.physics.engine import View, fields_read
from ksim_cli.physics.free_base import base_candidates, free_joint_of
from ksim_cli.physics.names import scalar_joints
from ksim_cli.physics.robot import home_data
from ksim_cli.task_model import TaskModel
from ksim_cli.types import Step

SHORT_EPISODE = 2
"""Control steps: an episode of so many is over before anything can be done in it."""

FAR = 1e3
"""By how much a control is changed to see what it does: ranges cut it."""

DEEP = 0.02
"""Overlap with what stands still, m, that a soft contact does not explain."""


class Finding(NamedTuple):
    """Something suspicious.

    Attributes:
        what: what it is.
        todo: what to type, or to change.
    """

    what: str
    todo: str


def sanity(task_model: TaskModel) -> list[Finding]:
    """What is suspicious in a task, before it is trained."""
    return [finding for check in _CHECKS for finding in check(task_model)]


def _no_floor(task_model: TaskModel) -> Iterator[Finding]:
    """A free base that falls for ever."""
    model = task_model.model
    off = mujoco.mjtDisableBit.mjDSBL_GRAVITY
    if model.opt.disableflags & off or not model.opt.gravity.any():
        return
    still = model.body_weldid[model.geom_bodyid] == 0
    for root in _floating_bases(model):
        tree = model.body_rootid == root
        if (model.body_gravcomp[tree] >= 1).all():
            continue
        if not _may_touch(model, tree[model.geom_bodyid], still):
            yield Finding(
                f"nothing holds up '{model.body(root).name}', which floats: no geom that stands"
                " still collides with it",
                'give the model a floor, <geom type="plane" size="0 0 1"/> in its worldbody',
            )


def _floating_bases(model: mujoco.MjModel) -> list[int]:
    """Bodies that may be the base and float."""
    return [body for body in base_candidates(model) if free_joint_of(model, body) is not None]


def _may_touch(model: mujoco.MjModel, ours: np.ndarray, still: np.ndarray) -> bool:
    """Whether a geom of one mask may collide with one of another."""
    if model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_CONTACT:
        return False
    paired = [model.pair_geom1, model.pair_geom2]
    if any((ours[a] & still[b]).any() for a, b in (paired, paired[::-1])):
        return True
    kinds, affinities = model.geom_contype, model.geom_conaffinity
    there = kinds[still, None] & affinities[None, ours]
    back = affinities[still, None] & kinds[None, ours]
    return bool(((there | back) != 0).any())


def _home_pose(task_model: TaskModel) -> Iterator[Finding]:
    """A start outside of the joints' ranges, or inside what stands still."""
    model, data = task_model.model, _at_home(task_model.model)
    keys = [model.key(i).name for i in range(model.nkey)]
    another = f"task.home={keys[0] if keys and keys[0] else '…'} for another keyframe"
    outside: list[str] = []
    for name in scalar_joints(model):
        joint = model.joint(name)
        position, (low, high) = data.qpos[int(joint.qposadr[0])], joint.range
        margin = 1e-3 * (high - low)
        if model.jnt_limited[joint.id] and not low - margin <= position <= high + margin:
            outside.append(
                f"joint '{name}' starts at {position:.3g}, outside of {low:.3g} … {high:.3g}"
            )
    if outside:
        yield Finding(_first(outside), f"{another}, or give the model one")
    # A fixed base and its first link overlap in many robots, and do no harm.
    floating = np.isin(model.body_rootid[model.geom_bodyid], _floating_bases(model))
    still = model.body_weldid[model.geom_bodyid] == 0
    deepest = min(
        (c for c in data.contact if still[c.geom].any() and floating[c.geom].any()),
        key=lambda contact: contact.dist,
        default=None,
    )
    if deepest is not None and deepest.dist < -DEEP:
        pair = deepest.geom if still[deepest.geom[1]] else deepest.geom[::-1]
        body = model.body(int(model.geom_bodyid[pair[0]])).name
        other = model.geom(int(pair[1])).name or "a geom"
        yield Finding(
            f"'{body}' starts {-deepest.dist:.2g} m inside of {other}, which stands still",
            f"{another}, or raise the base in the model",
        )


def _idle_actions(task_model: TaskModel) -> Iterator[Finding]:
    """Actions that move nothing."""
    model, actuators = task_model.model, task_model.mdp.actuators
    idle = _without_effect(model, [i for a in actuators.values() for i in a.ctrl_addresses])
    for where, actuator in actuators.items():
        held: list[str] = []
        for i, address in enumerate(actuator.ctrl_addresses):
            name = actuator.joints[i] if actuator.joints else model.actuator(address).name
            why = _held(model, actuator, i) if actuator.joints else ""
            if address in idle:
                why = "no control of it accelerates anything"
            if why:
                held.append(f"the action of '{name}' moves nothing: {why}")
        if held:
            yield Finding(
                _first(held), f"actuators.{where}.joints=[…] without it, or raise its limit"
            )


def _first(texts: list[str]) -> str:
    """The first of several alike, and the number of the others."""
    others = len(texts) - 1
    return texts[0] + (f"; and {others} more" if others else "")


def _held(model: mujoco.MjModel, actuator: Actuator, i: int) -> str:
    """Why the i-th joint of an actuator cannot move; empty: it can."""
    limits = actuator.torque_limits()[i]
    dof = actuator.dof_addresses[i]
    largest, friction = max(abs(x) for x in np.ravel(limits)), model.dof_frictionloss[dof]
    low, high = model.jnt_range[model.dof_jntid[dof]]
    if largest == 0:
        return "its torque limit is 0"
    if largest <= friction:
        return f"its torque limit {largest:.3g} does not overcome the friction {friction:.3g}"
    if model.jnt_limited[model.dof_jntid[dof]] and high - low < 1e-6:
        return f"its range is {low:.3g} … {high:.3g}"
    return ""


def _without_effect(model: mujoco.MjModel, addresses: list[int]) -> set[int]:
    """Controls that change neither accelerations nor activations at the home pose."""
    data, idle = _at_home(model), set[int]()
    for address in addresses:
        before, seen = data.ctrl[address], list[np.ndarray]()
        for control in (before - FAR, before, before + FAR):
            data.ctrl[address] = control
            mujoco.mj_fwdActuation(model, data)
            mujoco.mj_fwdAcceleration(model, data)
            seen.append(np.concatenate([data.qacc_smooth, data.act_dot]))
        data.ctrl[address] = before
        if all((each == seen[0]).all() for each in seen):
            idle.add(address)
    return idle


def _stiff(task_model: TaskModel) -> Iterator[Finding]:
    """Springs and dampers that steps of this length cannot hold.

    A spring k is explicit in each integrator: with mobility m = 1 / inertia and steps h it grows
    beyond k m h^2 = 4 (the stability limit of the semi-implicit Euler method).
    """
    model, timing = task_model.model, task_model.timing
    most = 4.0 / (mobility(model) * model.opt.timestep**2)
    update_dt = timing.ctrl_dt / timing.num_updates
    found = excessive_damping(model, task_model.mdp.actuators, update_dt)
    for joint, (kd, largest) in found.items():
        yield Finding(
            f"joint '{joint}': kd={kd:.4g} is more than steps of this length hold, at most"
            f" {largest:.4g}",
            f"joints.{joint}.kd={0.5 * largest:.2g} or less, or a shorter dt",
        )
    for actuator in task_model.mdp.actuators.values():
        gains = getattr(actuator, "gains", None)
        stiffness = [] if gains is None else np.asarray(gains()[0]).tolist()
        for joint, dof, kp in zip(
            actuator.joints, actuator.dof_addresses, stiffness, strict=gains is not None
        ):
            if kp > most[dof]:
                yield Finding(
                    f"joint '{joint}': kp={kp:.4g} is more than steps of dt="
                    f"{model.opt.timestep:g} hold",
                    f"joints.{joint}.kp={0.25 * most[dof]:.2g} or less, or a shorter dt",
                )
    for name in scalar_joints(model):
        joint = model.joint(name)
        if joint.stiffness[0] > most[joint.dofadr[0]]:
            yield Finding(
                f"joint '{name}': its spring, stiffness {joint.stiffness[0]:.4g}, is more than"
                f" steps of dt={model.opt.timestep:g} hold",
                "a shorter dt, or armature for the joint",
            )


def _penalties(task_model: TaskModel) -> Iterator[Finding]:
    """Penalties that are paid out. Which reward is one is said by the docstring of its class."""
    for name, term in task_model.mdp.rewards.items():
        reward = first_stage(term)
        words = (type(reward).__doc__ or "").lower()
        if reward.weight > 0 and ("a penalty" in words or "penalties" in words):
            yield Finding(
                f"rewards.{name} is a penalty and has a positive weight: it pays for what it is"
                " against",
                f"rewards.{name}.weight={-reward.weight:g}",
            )


def _nothing_to_learn(task_model: TaskModel) -> Iterator[Finding]:
    """A reward that is the same whatever the robot does."""
    mdp = task_model.mdp
    active = [first_stage(reward) for reward in mdp.rewards.values() if reward.weight]
    failures = [term for term in mdp.terminations.values() if not term.truncates]
    if not active or (all(isinstance(r, StayAlive) for r in active) and not failures):
        which = "there is no reward" if not active else "each step is worth the same"
        yield Finding(
            f"nothing to learn: {which}, whatever the robot does",
            "rewards=… of ksim list rewards, or rewards.NAME={type: …, weight: …}",
        )


def _idle_motion(task_model: TaskModel) -> Iterator[Finding]:
    """A reference motion in vain."""
    if task_model.motions is not None and not task_model.follows_motions:
        yield Finding(
            "there is a reference motion (motion=…), and nothing follows it",
            "rewards=tracking or algo=amp; or leave it out",
        )


def _endings(task_model: TaskModel) -> Iterator[Finding]:
    """Episodes that end at once, or never."""
    if not task_model.mdp.terminations:
        yield Finding(
            "nothing ends an episode: no pose is ever reset",
            "terminations.time_limit={type: episode_length, max_length_seconds: 10}",
        )
    for name, term in task_model.mdp.terminations.items():
        longest = term.longest_episode()
        if longest is not None and longest <= SHORT_EPISODE * task_model.timing.ctrl_dt + 1e-6:
            yield Finding(
                f"terminations.{name} ends every episode after {longest:g} s, which is"
                f" {longest / task_model.timing.ctrl_dt:.0f} control steps",
                f"terminations.{name}.max_length_seconds=10",
            )
    for name in _ended_at_home(task_model):
        yield Finding(
            f"terminations.{name} applies in the home pose: every episode ends at its first step",
            f"terminations.{name}=null, or loosen it, or task.home=… for another pose",
        )


class _NotKnownError(Exception):
    """A term asks for a command, which there is none of before a reset."""


class _NoCommands(dict[str, Any]):
    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Any:
        raise _NotKnownError(name)


def _home_step(task_model: TaskModel) -> Step:
    data, fields = _at_home(task_model.model), task_model.layout.fields
    view = View({name: np.asarray(getattr(data, name), np.float32) for name in fields})
    blank = blank_step(task_model.action_size, jnp.zeros(()), jnp.ones(()))
    return blank.replace(view=view)


def _ended_at_home(task_model: TaskModel) -> list[str]:
    """Terminations, besides time limits, that the home pose fulfils; all in one small program."""
    terms = {n: t for n, t in task_model.mdp.terminations.items() if not t.truncates}

    def ended(step: Step, key: jax.Array) -> dict[str, jax.Array]:
        step, found = step.replace(commands=_NoCommands()), {}
        for name, term in terms.items():
            try:
                found[name] = term(step, term.init(key))[0] != 0
            except _NotKnownError:
                continue
        return found

    if not terms:
        return []
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        found = jax.jit(ended)(_home_step(task_model), jax.random.key(0))
    return [name for name, is_true in found.items() if is_true]


def _still_bodies(task_model: TaskModel) -> Iterator[Finding]:
    """Terms of a base that cannot move, or cannot turn and is asked how it is turned."""
    model, mdp = task_model.model, task_model.mdp
    for where, term in mdp.each():
        base = getattr(term, "base", None)
        if base is None or getattr(base, "qpos", None) is not None:
            continue
        kinds = _joints_above(model, base.body)
        turns = kinds & {int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_BALL)}
        if kinds and (turns or not _asks_orientation_alone(task_model, where)):
            continue
        verb = "turn" if kinds else "move"
        yield Finding(
            f"{where} looks at body '{model.body(base.body).name}', which cannot {verb}",
            f"{where}=null, or {where}.body=… for one that can",
        )


def _joints_above(model: mujoco.MjModel, body: int) -> set[int]:
    """Types of the joints between a body and the world."""
    kinds: set[int] = set()
    while body:
        first = model.body_jntadr[body]
        kinds |= set(model.jnt_type[first : first + model.body_jntnum[body]].tolist())
        body = int(model.body_parentid[body])
    return kinds


def _asks_orientation_alone(task_model: TaskModel, where: str) -> bool:
    kind, _, name = where.partition(".")
    key = jax.random.key(0)
    blank = blank_step(task_model.action_size, jnp.zeros(()), jnp.ones(()))
    blank = blank.replace(commands=_NoCommands())
    if kind == "observations":
        observe = task_model.mdp.observations[name]

        def use(view: View) -> Any:
            return observe(blank.replace(view=view), observe.init(key), key)

    elif kind == "terminations":
        end = task_model.mdp.terminations[name]

        def use(view: View) -> Any:
            return end(blank.replace(view=view), end.init(key))

    else:
        return False
    try:
        return set(fields_read(task_model.model, use)) == {"xquat"}
    except _NotKnownError:
        return False


def _at_home(model: mujoco.MjModel) -> mujoco.MjData:
    data = home_data(model)
    mujoco.mj_forward(model, data)
    return data


_CHECKS: tuple[Callable[[TaskModel], Iterator[Finding]], ...] = (
    _no_floor,
    _home_pose,
    _still_bodies,
    _idle_actions,
    _stiff,
    _nothing_to_learn,
    _penalties,
    _idle_motion,
    _endings,
)
