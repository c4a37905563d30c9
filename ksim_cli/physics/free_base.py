"""The base of a robot: which body is meant where a term names none."""

from typing import Any

import mujoco
import numpy as np

from ksim_cli.errors import UserError, error_context
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.names import (
    SCALAR_JOINTS,
    joint_actuators,
    no_such,
    object_names,
    read_text,
)

BASE_TEXT = "ksim/base"
"""Name of the custom text by which a model says which body is its base."""


def base_body(model: mujoco.MjModel, name: str = "") -> int:
    """Index of a robot's base.

    It is, in this order: the body that is named; the one that the model's `BASE_TEXT` names; the
    one whose free joint is above the joints that actuators drive; where none drives a joint, the
    only one with a free joint, or of several the one with joints below it, or with the most bodies.
    A robot that stands, whatever lies about it, has the body that its joints begin at.

    Args:
        model: the compiled model.
        name: name of a body; empty: none is named.

    Raises:
        UserError: no such body, no body at all, or several that may be the base.
    """
    if name:
        return _named(model, name)
    candidates = base_candidates(model)
    if len(candidates) > 1:
        names = [model.body(i).name for i in candidates]
        typed = next((each for each in names if each), "NAME")
        raise UserError(
            f"several bodies may be the base: {', '.join(each or '(no name)' for each in names)}."
            f" Type task.base={typed} for all terms, or give this one `body: {typed}`"
        )
    return candidates[0] if candidates else _standing(model)


def base_candidates(model: mujoco.MjModel) -> list[int]:
    """Indices of the bodies that may be the base where no term names one: none where none floats.

    Raises:
        UserError: the model's `BASE_TEXT` names no body.
    """
    if chosen := read_text(model, BASE_TEXT):
        with error_context(f"task.base={chosen}"):
            return [_named(model, chosen)]
    free = model.jnt_bodyid[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE].tolist()
    # A free joint is a child of the world's, so the root of a body's tree is what floats.
    roots = model.body_rootid[model.jnt_bodyid]
    driven = list(joint_actuators(model))
    if driven or len(free) < 2:
        return _among(free, roots[driven]) if driven else free
    jointed = _among(free, roots[np.isin(model.jnt_type, SCALAR_JOINTS)])
    if jointed:
        return jointed
    sizes = np.bincount(model.body_rootid, minlength=model.nbody)[free]
    return [body for body, size in zip(free, sizes, strict=True) if size == sizes.max()]


def free_joint_of(model: mujoco.MjModel, body: int) -> int | None:
    """Index of the free joint that moves a body; None where none does."""
    is_free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
    (found,) = np.nonzero(is_free & (model.jnt_bodyid == body))
    return int(found[0]) if found.size else None


def possible_bases(spec: mujoco.MjSpec | CompiledSpec, name: str = "") -> list[Any]:
    """Bodies of a spec, one of which `base_body` gives once it is compiled; all have names then.

    Which joints are driven shows in the compiled model alone.

    Raises:
        UserError: no such body, or no body at all; as `base_body` where the model is compiled.
    """
    bodies = [body for body in spec.bodies if body.name != "world"]
    if not bodies:
        raise UserError("the model has no body")
    if isinstance(spec, CompiledSpec):
        return [spec.bodies[base_body(spec.model, name)]]
    if name:
        return [_body(bodies, name)]
    for text in spec.texts:
        if text.name == BASE_TEXT:
            with error_context(f"task.base={text.data}"):
                return [_body(bodies, text.data)]
    roots = spec.worldbody.bodies
    possible = [body for body in roots if floats(body) or _has_joints(body)] or bodies[:1]
    for i, body in enumerate(possible):
        body.name = body.name or f"ksim/body/{i}"
    return possible


def floats(body: Any) -> bool:
    """Whether a body of a spec has a free joint."""
    return any(joint.type == mujoco.mjtJoint.mjJNT_FREE for joint in body.joints)


def _has_joints(body: Any) -> bool:
    """Whether a body of a spec, or one below it, has a hinge or slide joint."""
    own = any(int(joint.type) in SCALAR_JOINTS for joint in body.joints)
    return own or any(_has_joints(child) for child in body.bodies)


def _standing(model: mujoco.MjModel) -> int:
    """The body that a robot which does not float begins at: of driven joints, of any, or the first.

    Raises:
        UserError: there is no body.
    """
    if model.nbody < 2:
        raise UserError("the model has no body")
    scalar = np.flatnonzero(np.isin(model.jnt_type, SCALAR_JOINTS)).tolist()
    joints = sorted(joint_actuators(model)) or scalar
    return int(model.body_rootid[model.jnt_bodyid[joints[0]]]) if joints else 1


def _among(bodies: list[int], roots: np.ndarray) -> list[int]:
    return [body for body in bodies if body in roots]


def _body(bodies: list[Any], name: str) -> Any:
    """The body of a spec that has a name."""
    for body in bodies:
        if body.name == name:
            return body
    raise no_such(name, [body.name for body in bodies], "body")


def _named(model: mujoco.MjModel, name: str) -> int:
    """Index of the body of a model that has a name."""
    names = object_names(model, "body")
    if name not in names[1:]:
        raise no_such(name, names[1:], "body")
    return names.index(name)
