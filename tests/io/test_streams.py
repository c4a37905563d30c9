"""Standard streams that are closed or full: what runs is not to notice."""

import os
import subprocess
import sys

import pytest

from tests.run.commands import ROOT, shell

WORK = """
import contextlib, os, sys
from ksim_cli.io import streams
streams.protect()
print("one")
sys.stdout.flush()
print("two", file=sys.stderr)
with open("file", "w") as file:
    with contextlib.suppress(OSError):
        os.write(1, b"into the file?")
    file.write("the work")
for _ in range(3):
    print("x" * 10_000)
    print("y", file=sys.stderr)
"""
FULL = "ksim: standard {} takes no more (No space left on device); the work goes on"


@pytest.mark.parametrize(
    ("redirection", "warnings"),
    [
        ("", {}),
        (">&-", {}),
        ("2>&-", {}),
        (">&- 2>&-", {}),
        (">/dev/full", {"stderr": FULL.format("output")}),
        ("2>/dev/full", {"stdout": FULL.format("error")}),
        (">/dev/full 2>/dev/full", {}),
        ("| head -1", {}),
    ],
)
def test_the_work_is_done_and_a_loss_told_once(tmp_path, redirection, warnings):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    (tmp_path / "work.py").write_text(WORK)
    done = shell(f"'{sys.executable}' work.py {redirection}", tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_text() == "the work"
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    for name in ("stdout", "stderr"):
        said = [line for line in getattr(done, name).splitlines() if "takes no more" in line]
        said = [line[line.index("ksim") :] for line in said]  # which may come in the middle of one
        assert said == ([warnings[name]] if name in warnings else [])


@pytest.mark.parametrize("typed", ["--help", "list", "train --help", "trian"])
def test_a_command_that_only_prints_does_not_trace_back(typed):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ksim_cli", *typed.split()],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == (2 if typed == "trian" else 0)
    assert len(done.stderr.splitlines()) <= 2 and "Traceback" not in done.stderr
