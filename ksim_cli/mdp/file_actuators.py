"""Actions that are controls of the actuators in a robot's file, as they are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.config.components import JointMetadata
from ksim_cli.mdp.actuators import Actuator, Torques
from ksim_cli.mdp.term import Carry, JointState, resolved
from ksim_cli.physics.names import match_names
from ksim_cli.physics.robot import home_control
from ksim_cli.registry import ACTUATORS


@ACTUATORS.register("ctrl")
@dataclass(frozen=True, kw_only=True)
class Control(Actuator):
    """The MJCF's own actuators as they are: servos, tendons, sites, muscles; one action each.

    ctrl = middle of the control range + half its width * clip(action, -1, 1); of an actuator
    without a range ctrl = action.

    Attributes:
        actuators: names or patterns of actuators of the MJCF; empty for all.
    """

    joints: tuple[str, ...] = resolved()
    actuators: tuple[str, ...] = ()
    ranges: tuple[tuple[float, float], ...] = resolved()
    rest: tuple[float, ...] = resolved()

    @property
    def action_size(self) -> int:
        """Elements of its part of the action, `A`."""
        return len(self.actuators)

    @property
    def action_names(self) -> tuple[str, ...]:
        """See `Actuator`."""
        return self.actuators

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Changes nothing."""

    def resolve(self, spec: mujoco.MjSpec, metadata: Mapping[str, JointMetadata]) -> Self:
        """See `Actuator.resolve`: the names of the actuators written out.

        Raises:
            UserError: the model has none, or none of that name.
        """
        del metadata
        names = [actuator.name for actuator in spec.actuators]
        return replace(self, actuators=match_names(self.actuators or ("*",), names, "actuator"))

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        ids = [int(model.actuator(name).id) for name in self.actuators]
        unlimited = (-np.inf, np.inf)
        ranges = tuple(
            (float(low), float(high)) if limited else unlimited
            for limited, (low, high) in zip(
                model.actuator_ctrllimited[ids], model.actuator_ctrlrange[ids], strict=True
            )
        )
        rest = tuple(home_control(model)[ids].tolist())
        return replace(self, ctrl_addresses=tuple(ids), ranges=ranges, rest=rest)

    def rest_action(self, position: jax.Array) -> jax.Array:
        """See `Actuator`: the home pose's controls."""
        del position
        limited, middle, half = self._scale()
        rest = np.array(self.rest)
        return jnp.array(np.where(limited, (rest - middle) / half, rest), jnp.float32)

    def __call__(self, action: jax.Array, joints: JointState, carry: Carry) -> Torques:
        """See `Actuator`: `ctrl`, in the unit of each actuator."""
        del joints
        limited, middle, half = self._scale()
        return jnp.where(limited, middle + half * jnp.clip(action, -1.0, 1.0), action), carry

    def _scale(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Whether there is a control range, its middle, and half its width; `[A]` each."""
        low, high = np.array(self.ranges).T
        limited = np.isfinite(low)
        low, high = np.where(limited, low, -1.0), np.where(limited, high, 1.0)
        return limited, (low + high) / 2, (high - low) / 2
