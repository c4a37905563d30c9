"""A dog-sized robot with twelve joints that walks as a joystick tells it."""

from ksim_cli import TASKS, Task


@TASKS.register("quadruped")
class Quadruped(Task):
    """The model is `quadruped.xml`; the rest is `configs/task/quadruped.yaml`."""
