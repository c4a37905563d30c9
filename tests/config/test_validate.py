import dataclasses

import pytest

from ksim_cli.config.validate import validate
from ksim_cli.errors import UserError
from tests.helpers import run_config


@pytest.fixture(scope="module")
def good():
    return run_config("task=cartpole")


def test_a_good_config_passes(good):
    validate(good)


@pytest.mark.parametrize(("ctrl_dt", "dt"), [(0.02, 0.007), (0.02, 0.03), (0.001, 0.002)])
def test_a_control_step_is_a_whole_number_of_physics_steps(good, ctrl_dt, dt):
    with pytest.raises(UserError, match="must be a multiple of dt"):
        validate(dataclasses.replace(good, ctrl_dt=ctrl_dt, dt=dt))


@pytest.mark.parametrize(("ctrl_dt", "dt"), [(0.02, 0.004), (0.03, 0.01), (0.1, 0.1 / 3)])
def test_rounding_is_no_mistake(good, ctrl_dt, dt):
    validate(dataclasses.replace(good, ctrl_dt=ctrl_dt, dt=dt))


def test_all_complaints_come_at_once(good):
    with pytest.raises(UserError) as error:
        validate(dataclasses.replace(good, seed=-1, solver="pgs", render_lookat=[1.0]))
    assert len(str(error.value).splitlines()) == 3


def test_one_environment_is_enough(good):
    validate(dataclasses.replace(good, num_envs=1, batch_size=1))
