"""Runs the command line in a process of its own, as a person does."""

import subprocess
import sys


def ksim(*arguments, cwd, timeout=300, check=None):
    """Output and exit status of `ksim <arguments>` in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "ksim_cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done
