"""Any robot's file, to be tried before anything is written about it."""

from functools import cached_property
from pathlib import Path
from typing import Any

import mujoco

from ksim_cli import TASKS, Actuator, Observation, Task
from ksim_cli.errors import UserError
from ksim_cli.mdp.actuators import Torque
from ksim_cli.mdp.file_actuators import Control
from ksim_cli.mdp.observations.floating_base import (
    BaseAngularVelocity,
    BaseLinearVelocity,
    ProjectedGravity,
)
from ksim_cli.mdp.observations.joints import JointPosition, JointVelocity
from ksim_cli.physics.model import load_spec
from ksim_cli.physics.names import SCALAR_JOINTS, joint_actuators
from ksim_cli.physics.robot import compiled


@TASKS.register("model")
class AnyModel(Task):
    """`task.model` names a file: an MJCF or a URDF, from the current folder.

    Actions are torques of the joints that the file drives, or of all where it has no actuators;
    where its actuators drive no joint (a tendon, a thruster), actions are their controls. What is
    observed are the joints, and the base where it is free.
    """

    def get_mujoco_model(self) -> Any:
        """The file `task.model`.

        Raises:
            UserError: none is named, or it is not there.
        """
        if not self.config.task.model:
            raise UserError("task.model: which file? Type task=model task.model=robot.xml")
        return load_spec(Path(self.config.task.model).expanduser())

    def get_actuators(self) -> dict[str, Actuator]:
        """The configured ones, else torques, else the controls of the file's actuators."""
        model = self._file
        torques = self._scalar_joints and (joint_actuators(model) or not model.nu)
        return super().get_actuators() or {"all": Torque() if torques else Control()}

    def get_observations(self) -> dict[str, Observation]:
        """The configured ones, else the joints, and of a free base tilt and velocities."""
        found: dict[str, Observation] = {}
        if self._scalar_joints:
            found |= {"joint_position": JointPosition(), "joint_velocity": JointVelocity()}
        if (self._file.jnt_type == mujoco.mjtJoint.mjJNT_FREE).any():
            found |= {
                "gravity": ProjectedGravity(),
                "linear_velocity": BaseLinearVelocity(),
                "angular_velocity": BaseAngularVelocity(),
            }
        return super().get_observations() or found

    @cached_property
    def _file(self) -> mujoco.MjModel:
        return compiled(self.get_mujoco_model())

    @property
    def _scalar_joints(self) -> bool:
        return bool(set(self._file.jnt_type.tolist()) & set(SCALAR_JOINTS))
