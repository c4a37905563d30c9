"""Algorithms of a user's own, and ours beside PPO: one file each, and nothing else changes.

The first is that of the docs, as it stands there; the others learn a reward with a second optimizer,
and from a buffer of past rollouts. Beside them a built-in one that has all of that: distillation, from
a teacher with a memory that is gone when the student goes on.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.run.commands import (
    TINY,
    TINY_LIGHT,
    course,
    ksim,
    ksim_on_devices,
    rewound,
    rows,
    take_light_engine,
)

ROOT = Path(__file__).parent.parent
ALGORITHMS = {
    "mine": ["model.critic_groups=[]"],
    "adversarial": [],
    "replay": [],
    "amp": ["motion=swing.npz", "algo.amp_reference_batch_size=2"],
    "distill": [
        *("algo.teacher=teacher", "observations.velocity.groups=[critic]"),
        *("algo.clone_iterations=1", "algo.warm_up_iterations=2", "algo.likelihood_weight=0.5"),
    ],
}
LEARNED = {"adversarial": {"style"}, "amp": {"style"}, "distill": {"teacher"}}


def docs_files():
    """Path -> text of every block of the page that begins with a path."""
    text = (ROOT / "docs" / "own_algorithm.md").read_text("utf-8")
    return dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", text, flags=re.DOTALL))


def write_project(folder):
    """A project with all three algorithms."""
    files = docs_files()
    for name in ("adversarial", "replay"):
        files[f"configs/algo/{name}.yaml"] = f"type: {name}\n"
    for name in ("discriminator", "replay_buffer"):
        files[f"tasks/{name}.py"] = (ROOT / "tests" / "rl" / f"{name}.py").read_text("utf-8")
    files["tasks/__init__.py"] += "\nimport tasks.discriminator\nimport tasks.replay_buffer\n"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    angle = 0.2 * np.sin(np.linspace(0.0, 6.0, 40))
    names = np.array(["slider", "hinge"])
    np.savez(folder / "swing.npz", qpos=np.stack([0 * angle, angle], 1), fps=100, joint_names=names)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    write_project(folder)
    take_light_engine(folder)
    return folder


@pytest.fixture(scope="module", params=ALGORITHMS)
def trained(request, own):
    """Four iterations in one go, and the last two of them again."""
    algo = (f"algo={request.param}", *ALGORITHMS[request.param])
    straight, halves = f"{request.param}-straight", f"{request.param}-halves"
    if request.param == "distill":
        ksim("train", *TINY, "model=gru", "num_iterations=1", "run_dir=teacher", cwd=own, check=0)
    typed = (*TINY, *algo, "num_iterations=4", "save_every_n_steps=2", f"run_dir={straight}")
    ksim("train", *typed, cwd=own, check=0)
    shutil.rmtree(own / "teacher", ignore_errors=True)
    rewound(own / straight, own / halves, 2)
    done = ksim("train", f"resume={halves}", cwd=own, check=0)
    assert "resumed at iteration 2" in done.stdout
    return request.param, own, own / straight, own / halves


def test_the_docs_show_an_algorithm_of_at_most_eighty_lines():
    files = docs_files()
    assert set(files) == {"tasks/__init__.py", "configs/algo/mine.yaml"}
    assert sum(len(text.splitlines()) for text in files.values()) <= 80


def test_it_resumes_bit_for_bit(trained):
    _, _, straight, halves = trained
    one, two = course(straight), course(halves)
    assert len(one) == 4 and all(np.isfinite(row["loss"]) for row in one)
    assert one == two
    summaries = [json.loads((run / "summary.json").read_text()) for run in (straight, halves)]
    assert summaries[0]["eval_return_mean"] == summaries[1]["eval_return_mean"]


def test_what_it_trained_is_evaluated_and_recorded(trained):
    name, own, straight, _ = trained
    ksim("eval", f"checkpoint={straight}", "num_episodes=2", cwd=own, check=0)
    evaluated = json.loads((straight / "eval.json").read_text())
    summary = json.loads((straight / "summary.json").read_text())
    assert evaluated["episode_return_mean"] == summary["eval_return_mean"]
    path = own / f"{name}-data"
    where = ("checkpoint=" + str(straight), f"dataset_save_path={path}")
    ksim("collect", *where, "dataset_num_batches=2", cwd=own, check=0)
    with h5py.File(path / "data" / "main_data.hdf5") as file:
        episode = file["episode_0"]
        parts = {key: episode[f"infos/reward/{key}"][:] for key in episode["infos/reward"]}
        np.testing.assert_allclose(episode["rewards"][:], sum(parts.values()), rtol=1e-6)
        assert set(parts) == {"balance"} | LEARNED.get(name, set())
        assert all((part > 0).all() for part in parts.values())


def test_a_parameter_is_set_and_a_wrong_one_is_refused(own):
    done = ksim("train", *TINY, "algo=mine", "algo.gama=0.9", cwd=own, check=2)
    assert "no parameter 'gama'. Did you mean 'gamma'?" in done.stderr
    done = ksim("train", *TINY, "algo=adversarial", "algo.style_weight=x", cwd=own, check=2)
    assert "algo.style_weight=x: expected float" in done.stderr
    done = ksim("train", *TINY, "model.critic_groups=[]", cwd=own, check=2)
    assert "algo=ppo: asks for values, and the model has no critic" in done.stderr


@pytest.mark.slow
def test_several_seeds_and_several_devices_learn_the_same(own):
    """The others' are in `tests/rl/test_spread.py`, without MJX, which takes long to compile."""
    common = (*TINY_LIGHT, "algo=mine", *ALGORITHMS["mine"], "num_iterations=3")
    four, seeds = own / "mine-four", own / "mine-seeds"
    done = ksim_on_devices(
        4,
        ["train", *common, f"run_dir={four}"],
        ["train", *common, "num_seeds=2", "num_devices=1", f"run_dir={seeds}"],
        cwd=own,
    )
    assert [each.returncode for each in done] == [0, 0], done
    assert "on 4 devices" in done[0].stdout
    for a, b in zip(rows(four), rows(seeds / "seeds" / "0"), strict=True):
        np.testing.assert_allclose(a["reward"], b["reward"], rtol=1e-4)
        # A mean of terms of order 1 that nearly cancel: devices sum them in another order.
        np.testing.assert_allclose(a["loss"], b["loss"], atol=1e-4)


@pytest.mark.slow
def test_the_algorithm_of_the_docs_learns_the_cart_pole_by_the_command_of_the_docs(own):
    page = (ROOT / "docs" / "own_algorithm.md").read_text("utf-8").replace("\\\n", "")
    command = re.search(r"^ksim (train task=cartpole algo=mine .*)$", page, flags=re.MULTILINE)
    ksim(*shlex.split(command[1]), "run_dir=learned", cwd=own, check=0)
    summary = json.loads((own / "learned" / "summary.json").read_text())
    assert summary["eval_return_mean"] >= 400
    shutil.rmtree(own / "learned")
