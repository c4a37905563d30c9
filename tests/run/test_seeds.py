"""Several seeds in one program."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.run.seeds import each_seed
from tests.run.commands import TINY_LIGHT, course, ksim, rewound, rows, take_light_engine


def test_the_tree_of_each_seed():
    tree = {"a": jnp.arange(6).reshape(2, 3)}
    assert each_seed(tree, 1) == [tree]
    parts = each_seed(tree, 2)
    assert [part["a"].tolist() for part in parts] == [[0, 1, 2], [3, 4, 5]]
    assert jax.tree.structure(parts[0]) == jax.tree.structure(tree)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Seeds 5, 6 and 7 trained together, and the last iteration again."""
    folder = tmp_path_factory.mktemp("seeds")
    take_light_engine(folder)
    several = (*TINY_LIGHT, "seed=5", "num_seeds=3")
    typed = (*several, "num_iterations=3", "save_every_n_steps=2", "run_dir=straight")
    ksim("train", *typed, cwd=folder, check=0)
    rewound(folder / "straight", folder / "halves", 2)
    done = ksim("train", "resume=halves", cwd=folder, check=0)
    assert "resumed at iteration 2" in done.stdout
    return folder


def test_each_seed_learns_what_it_learns_alone(trained):
    ksim("train", *TINY_LIGHT, "seed=6", "num_iterations=3", "run_dir=alone", cwd=trained, check=0)
    together = rows(trained / "straight" / "seeds" / "6")
    for a, b in zip(together, rows(trained / "alone"), strict=True):
        assert a.keys() == b.keys()
        for name in ("loss", "value_loss", "reward", "grad_norm", "env_steps"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=name)
    each = [rows(trained / "straight" / "seeds" / str(seed))[-1]["loss"] for seed in (5, 6, 7)]
    assert len(set(each)) == 3
    np.testing.assert_allclose(rows(trained / "straight")[-1]["loss"], np.mean(each), rtol=1e-6)


def test_they_resume_bit_for_bit(trained):
    for part in (".", "seeds/5", "seeds/7"):
        one, two = course(trained / "straight" / part), course(trained / "halves" / part)
        assert one == two


def test_the_best_of_them_acts_or_the_one_that_is_named(trained):
    summary = json.loads((trained / "straight" / "summary.json").read_text())
    returns = summary["eval_return_per_seed"]
    assert len(returns) == 3 and summary["eval_return_mean"] == pytest.approx(np.mean(returns))
    done = ksim("eval", "checkpoint=straight", cwd=trained, check=0)
    assert f"seed {5 + int(np.argmax(returns))}, which evaluated best" in done.stdout
    done = ksim("eval", "checkpoint=straight", "checkpoint_seed=7", cwd=trained, check=0)
    assert "iteration 3, seed 7" in done.stdout
    done = ksim("eval", "checkpoint=straight", "checkpoint_seed=8", cwd=trained, check=2)
    assert "checkpoint_seed=8: straight trained seeds 5 to 7" in done.stderr
