"""The base of a robot: which body is meant where a term names none."""

from typing import Any

import mujoco
import numpy as np

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.names import SCALAR_JOINTS, joint_actuators

BASE_TEXT = "ksim/base"
"""Name of the custom text by which a model says which body is its base."""


def base_body(model: mujoco.MjModel, name: str = "") -> int | None:
    """Index of a robot's base; None: nothing floats, and nothing is named.

    It is, in this order: the body that is named; the one that the model's `BASE_TEXT` names; the
    only one with a free joint; of several the one above the joints that actuators drive, or where
    none drives a joint the one with joints below it, or with the most bodies.

    Args:
        model: the compiled model.
        name: name of a body; empty: none is named.

    Raises:
        UserError: no such body, or several that may be the base.
    """
    if name:
        return _named(model, name, "")
    candidates = base_candidates(model)
    if len(candidates) > 1:
        names = [model.body(i).name for i in candidates]
        typed = next((each for each in names if each), "NAME")
        raise UserError(
            f"several bodies may be the base: {', '.join(each or '(no name)' for each in names)}."
            f" Type task.base={typed} for all terms, or give this one `body: {typed}`"
        )
    return candidates[0] if candidates else None


def base_candidates(model: mujoco.MjModel) -> list[int]:
    """Indices of the bodies that may be the base where no term names one: none, one or several.

    Raises:
        UserError: the model's `BASE_TEXT` names no body.
    """
    if chosen := _chosen(model):
        return [_named(model, chosen, f"task.base={chosen}: ")]
    free = model.jnt_bodyid[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE].tolist()
    if len(free) < 2:
        return free
    # A free joint is a child of the world's, so the root of a body's tree is what floats.
    roots = model.body_rootid[model.jnt_bodyid]
    driven = list(joint_actuators(model))
    if driven:
        return _among(free, roots[driven]) or free
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

    Which joints are driven shows in the compiled model alone. Where nothing floats it is the first
    body.

    Raises:
        UserError: no such body, or no body at all; as `base_body` where the model is compiled.
    """
    bodies = [body for body in spec.bodies if body.name != "world"]
    if not bodies:
        raise UserError("the model has no body")
    if isinstance(spec, CompiledSpec):
        base = base_body(spec.compile(), name)
        return [spec.bodies[base] if base is not None else bodies[0]]
    chosen = name or next((text.data for text in spec.texts if text.name == BASE_TEXT), "")
    if chosen:
        where = "" if name else f"task.base={chosen}: "
        _refuse_unknown(chosen, [body.name for body in bodies], where)
        return [body for body in bodies if body.name == chosen]
    possible = [body for body in bodies if floats(body)] or bodies[:1]
    for i, body in enumerate(possible):
        body.name = body.name or f"ksim/body/{i}"
    return possible


def floats(body: Any) -> bool:
    """Whether a body of a spec has a free joint."""
    return any(joint.type == mujoco.mjtJoint.mjJNT_FREE for joint in body.joints)


def _among(bodies: list[int], roots: np.ndarray) -> list[int]:
    return [body for body in bodies if body in roots]


def _named(model: mujoco.MjModel, name: str, where: str) -> int:
    _refuse_unknown(name, [model.body(i).name for i in range(1, model.nbody)], where)
    return int(model.body(name).id)


def _refuse_unknown(name: str, names: list[str], where: str) -> None:
    if name not in names:
        raise UserError(
            f"{where}no body '{name}' in the model.{nearest(name, names)}"
            f" Available: {listing(each for each in names if each)}"
        )


def _chosen(model: mujoco.MjModel) -> str:
    """What the model's `BASE_TEXT` says; empty where it has none."""
    text = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_TEXT, BASE_TEXT)
    if text < 0:
        return ""
    first = int(model.text_adr[text])
    return model.text_data[first:].split(b"\0")[0].decode()
