"""What a viewer may choose from: a run's policies, the newest as it is trained, and none."""

import jax
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.io.checkpoints import CheckpointStore
from ksim_cli.io.console import open_console
from ksim_cli.io.runs import RunFolder
from ksim_cli.run.build import load_policy, make_task_model
from ksim_cli.run.policies import RunPolicies
from ksim_cli.run.seeds import POLICY
from ksim_cli.run.session import make_steerable
from tests.helpers import tiny_cartpole


def policies_of(follows=True, **keys):
    config = tiny_cartpole(**keys)
    task_model = make_task_model(config)
    env = make_steerable(task_model)
    loaded = load_policy(config, task_model, env, True, open_console(None), live=True)
    return RunPolicies(config, task_model, env, loaded, follows)


@pytest.fixture
def run(trained):
    return RunFolder(trained[1])


def leave(run, step, scale):
    """What training leaves for a viewer: the run's policy, scaled, as that of another iteration."""
    config_sha256 = CheckpointStore(run.checkpoints).info(2)["config_sha256"]
    read = policies_of(checkpoint=str(run.path)).get("00000002")[1]
    params = jax.tree.map(lambda x: scale * x, read.variables.params)
    state = read.replace(variables=read.variables.replace(params=params))
    store = CheckpointStore(run.live)
    store.save(step, {POLICY: state}, {"config_sha256": config_sha256})
    store.wait()
    return state


def test_a_run_offers_the_newest_its_checkpoints_and_none(run):
    policies = policies_of(checkpoint=str(run.path))
    assert policies.first == "newest"
    assert list(policies.names()) == ["newest", "00000002", "initial", "zero", "random"]
    assert policies_of(follows=False, checkpoint=str(run.path)).first == "00000002"
    assert list(policies_of(policy="zero").names()) == ["initial", "zero", "random"]
    assert policies_of(policy="random").first == "random"


def test_the_newest_is_what_training_left_last(run):
    policies = policies_of(checkpoint=str(run.path))
    assert policies.newer() is None
    left = leave(run, 7, 0.5)
    said, newest = policies.newer()
    assert said == "now of iteration 7" and policies.newer() is None
    assert policies.get("newest")[1] is newest
    for one, other in zip(jax.tree.leaves(newest), jax.tree.leaves(left), strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_that_is_being_written_or_is_broken_is_passed_over(run):
    policies = policies_of(checkpoint=str(run.path))
    leave(run, 8, 0.5)
    (left,) = run.live.glob("00000008/policy.safetensors")
    left.write_bytes(left.read_bytes()[:-1])
    assert policies.newer() is None
    leave(run, 9, 0.5)
    assert policies.newer()[0] == "now of iteration 9"


def test_players_are_made_once_and_what_is_gone_is_named(run):
    policies = policies_of(checkpoint=str(run.path))
    assert policies.get("zero")[0] is policies.get("zero")[0]
    assert policies.get("00000002")[0] is policies.get("newest")[0]
    with pytest.raises(UserError, match="00000005"):
        policies.get("00000005")
