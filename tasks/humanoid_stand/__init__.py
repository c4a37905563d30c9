"""The humanoid, standing still whatever pushes it."""

from ksim_cli.tasks.humanoid import Humanoid

from ksim_cli import TASKS


@TASKS.register("humanoid_stand")
class HumanoidStand(Humanoid):
    """The humanoid's model; the rest is `configs/task/humanoid_stand.yaml`."""
