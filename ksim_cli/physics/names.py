"""Names of things in a model, and patterns (`*_knee`) of them, as indices."""

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

import mujoco

from ksim_cli.errors import UserError, listing, nearest

SCALAR_JOINTS = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
"""Types of joints with one coordinate: the ones an actuator can drive."""


JOINT_TRANSMISSIONS = (
    int(mujoco.mjtTrn.mjTRN_JOINT),
    int(mujoco.mjtTrn.mjTRN_JOINTINPARENT),
)
"""Transmissions of actuators that pull at a joint."""


def match_names(patterns: Iterable[str], available: Sequence[str], what: str) -> tuple[str, ...]:
    """Names that patterns stand for, each once.

    Args:
        patterns: names, or patterns with `*`, `?` and `[...]`; one pattern gives its names in the
            order of `available`.
        available: all names there are.
        what: what they are names of, for the message.

    Raises:
        UserError: a pattern that fits nothing; the message lists what there is.
    """
    chosen: dict[str, None] = {}
    for pattern in patterns:
        fitting = [name for name in available if name == pattern or fnmatchcase(name, pattern)]
        if not fitting:
            raise no_such(pattern, available, what)
        chosen |= dict.fromkeys(fitting)
    return tuple(chosen)


def no_such(name: str, available: Collection[str], what: str) -> UserError:
    """The complaint about a name that nothing in the model has; what has none is not listed."""
    return UserError(
        f"no {what} '{name}' in the model.{nearest(name, available)}"
        f" Available: {listing(n for n in available if n)}"
    )


def object_names(model: mujoco.MjModel, kind: str) -> list[str]:
    """All names of a kind, by index.

    Args:
        model: the compiled model.
        kind: `body`, `geom`, `site`, `joint`, `actuator` or `sensor`.
    """
    count = getattr(model, {"joint": "njnt", "actuator": "nu"}.get(kind, f"n{kind}"))
    return [getattr(model, kind)(i).name for i in range(count)]


def object_ids(model: mujoco.MjModel, kind: str, patterns: Iterable[str]) -> tuple[int, ...]:
    """Indices of the bodies, geoms, sites or sensors that names or patterns stand for.

    Raises:
        UserError: a pattern that fits nothing.
    """
    names = match_names(patterns, [n for n in object_names(model, kind) if n], kind)
    return tuple(int(getattr(model, kind)(name).id) for name in names)


def scalar_joints(model: mujoco.MjModel) -> list[str]:
    """Names of the hinge and slide joints, in model order: the ones an actuator can drive."""
    names = object_names(model, "joint")
    return [name for i, name in enumerate(names) if model.jnt_type[i] in SCALAR_JOINTS]


def joint_ids(model: mujoco.MjModel, joints: Iterable[str]) -> tuple[int, ...]:
    """Indices of hinge and slide joints.

    Args:
        model: the compiled model.
        joints: names or patterns; empty for all hinge and slide joints.

    Raises:
        UserError: a joint that does not exist or has more than one coordinate, or no joints.
    """
    available = scalar_joints(model)
    names = match_names(joints or ("*",), available, "hinge or slide joint")
    return tuple(int(model.joint(name).id) for name in names)


def joint_addresses(
    model: mujoco.MjModel, joints: Iterable[str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Addresses of hinge and slide joints in `qpos` and in `qvel`; see `joint_ids`."""
    ids = joint_ids(model, joints)
    return (
        tuple(int(model.jnt_qposadr[i]) for i in ids),
        tuple(int(model.jnt_dofadr[i]) for i in ids),
    )


def joint_actuators(model: mujoco.MjModel) -> dict[int, list[int]]:
    """Index of a joint -> indices of the actuators that pull at it."""
    pulling: dict[int, list[int]] = {}
    for i in range(model.nu):
        if model.actuator_trntype[i] in JOINT_TRANSMISSIONS:
            pulling.setdefault(int(model.actuator_trnid[i, 0]), []).append(i)
    return pulling


def read_text(model: mujoco.MjModel, name: str) -> str | None:
    """Custom text of a model; None: it has none of that name."""
    index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_TEXT, name)
    if index < 0:
        return None
    start = int(model.text_adr[index])
    return model.text_data[start : start + int(model.text_size[index]) - 1].decode()
