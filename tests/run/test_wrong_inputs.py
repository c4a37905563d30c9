"""Wrong inputs of every kind: status 2, one message, nothing compiled, nothing left behind."""

import shutil
from pathlib import Path

import pytest
import yaml

from ksim_cli.run import compile as compiling
from tests.run.commands import ksim

CASES = yaml.safe_load((Path(__file__).parent / "wrong_inputs.yaml").read_text("utf-8"))
TINY_TASK = "task=cartpole num_envs=4 batch_size=2 rollout_length_frames=4 engine=mujoco"


def name(case):
    return f"{case['typed']}: {case['says']}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_wrong_input_is_one_message(case, finished, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("it was compiled")

    monkeypatch.setattr(compiling, "assert_fixed_point", fail)
    if "run" in case:
        shutil.copytree(finished.run, tmp_path / "run")
    files = {f"run/{file}": text for file, text in case.get("run", {}).items()}
    for file, text in {**files, **case.get("files", {})}.items():
        path = tmp_path / file
        path.unlink(missing_ok=True)
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    done = ksim(*case["typed"].replace("{task}", TINY_TASK).split(" "), cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert case["says"] in done.stderr, said
    assert "Traceback" not in said and "HYDRA_FULL_ERROR" not in said
    assert sum(line.startswith("ksim ") for line in done.stderr.splitlines()) == 1, said
    assert not [*tmp_path.glob("runs/*")], "nothing has begun"


def test_there_are_many_of_every_kind():
    typed = [case["typed"] for case in CASES]
    assert len(typed) >= 60 and len({str(case) for case in CASES}) == len(CASES)
