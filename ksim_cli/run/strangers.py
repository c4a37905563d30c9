"""What a run names that its reader has not written: it may come from anybody."""

import os
from pathlib import Path

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.load_task import make_task
from ksim_cli.paths import project_roots
from ksim_cli.physics.model_trial import try_model
from ksim_cli.task import model_file, refuse_huge


def try_model_of_run(config: RunConfig) -> None:
    """Compiles a run's model apart first, where neither the project nor the user vouches for it.

    A file in `tasks/` of the user's project, or a built-in one, is vouched for. It costs a second,
    and the time to compile the model.

    Args:
        config: of a run, whose `task.model` nobody has typed.

    Raises:
        UserError: the model is malformed, or takes too much time or memory.
    """
    file = Path(os.path.abspath(model_file(make_task(config))))
    if any(file.is_relative_to(root / "tasks") for root in project_roots()) or not file.is_file():
        return
    refuse_huge(file)
    try:
        try_model(file)
    except UserError as error:
        raise UserError(
            f"task.model: {error}\n  It is named by the run's config.yaml and lies outside tasks/."
            f" If you trust it, type task.model={file}"
        ) from error
