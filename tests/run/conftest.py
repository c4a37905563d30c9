import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.run.commands import TINY, Done, ksim


class Finished(NamedTuple):
    """A folder to type commands in, the one run in it, and what the training said."""

    folder: Path
    run: Path
    done: Done


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A short run of the cart-pole; who writes into it takes a copy."""
    folder = tmp_path_factory.mktemp("finished")
    done = ksim("train", *TINY, "num_iterations=2", "profile_memory=true", cwd=folder, check=0)
    (run,) = (folder / "runs" / "cartpole").iterdir()
    return Finished(folder, run, done)


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    """A copy of the finished run, to be written into."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(finished.folder, folder, dirs_exist_ok=True)
    return folder, folder / finished.run.relative_to(finished.folder)
