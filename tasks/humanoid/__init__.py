"""A humanoid with 21 joints that walks to velocity commands."""

from ksim_cli import TASKS, Task


@TASKS.register("humanoid")
class Humanoid(Task):
    """The model is `humanoid.xml`; the rest is `configs/task/humanoid.yaml`."""
