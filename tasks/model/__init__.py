"""Any robot's file, to be tried before anything is written about it."""

from functools import cached_property
from pathlib import Path
from typing import Any

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
from ksim_cli.physics.free_base import floats
from ksim_cli.physics.joint_metadata import drives_joint, spec_joints
from ksim_cli.physics.model import load_spec


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
        own = self._file.actuators
        torques = spec_joints(self._file) and (not own or any(drives_joint(a) for a in own))
        return super().get_actuators() or {"all": Torque() if torques else Control()}

    def get_observations(self) -> dict[str, Observation]:
        """The configured ones, else the joints, and of a free base tilt and velocities."""
        found: dict[str, Observation] = {}
        if spec_joints(self._file):
            found |= {"joint_position": JointPosition(), "joint_velocity": JointVelocity()}
        if any(floats(body) for body in self._file.bodies):
            found |= {
                "gravity": ProjectedGravity(),
                "linear_velocity": BaseLinearVelocity(),
                "angular_velocity": BaseAngularVelocity(),
            }
        return super().get_observations() or found

    @cached_property
    def _file(self) -> Any:
        return self.get_mujoco_model()
