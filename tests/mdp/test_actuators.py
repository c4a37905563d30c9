import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.registry import ACTUATORS
from tests.helpers import SMALL

register_terms()

SERVO = SMALL.replace(
    '<motor name="shoulder" joint="shoulder"/>',
    '<position name="servo" joint="shoulder" kp="50"/>'
    '<motor name="second" joint="shoulder" gear="9"/>',
)


def build(xml=SMALL, **section):
    spec = mujoco.MjSpec.from_string(xml)
    term = ACTUATORS.build({"type": "torque", **section}, "actuators.all").resolve(spec)
    term.edit(spec)
    model = spec.compile()
    return term.bind(model), model


def call(term, action):
    zeros = jnp.zeros(len(term.joints))
    torque, carry = term(jnp.asarray(action, jnp.float32), zeros, zeros, ())
    assert carry == ()
    return np.asarray(torque)


def test_torque_is_the_action_within_its_limit():
    term, _ = build()
    np.testing.assert_array_equal(call(term, [3.0, -4.0]), [3.0, -4.0])
    limited, _ = build(limit=2.0)
    np.testing.assert_array_equal(call(limited, [3.0, -4.0]), [2.0, -2.0])
    one, _ = build(limit={"elbow": 1.0})
    np.testing.assert_array_equal(call(one, [3.0, -4.0]), [3.0, -1.0])


def test_scaled_torque_by_hand():
    term, _ = build(
        type="scaled_torque",
        gear_ratio={"shoulder": 100.0},
        input_range={"shoulder": [-0.4, 0.4]},
    )
    # 0.5 is clipped to 0.4 and geared by 100; the elbow has [-1, 1] and gear 1.
    np.testing.assert_allclose(call(term, [0.5, -3.0]), [40.0, -1.0], rtol=1e-6)


def test_one_range_for_all_joints():
    term, _ = build(type="scaled_torque", gear_ratio=2.0, input_range=[0.0, 3.0])
    np.testing.assert_array_equal(call(term, [-1.0, 5.0]), [0.0, 6.0])


def test_a_tendon_of_a_joints_name_is_not_the_joint():
    xml = SMALL.replace(
        "<actuator>",
        """<tendon><fixed name="elbow"><joint joint="elbow" coef="2"/></fixed></tendon>
           <actuator><motor name="cable" tendon="elbow"/>""",
    ).replace('<motor name="elbow" joint="elbow"/>', "")
    assert build(xml)[0].joints == ("shoulder",), "no actuator drives the elbow itself"
    _, model = build(xml, joints=["elbow"])
    assert sorted(model.actuator(i).name for i in range(model.nu)) == ["cable", "elbow", "shoulder"]


def test_the_joints_are_those_the_model_drives_and_all_where_it_drives_none():
    assert build()[0].joints == ("shoulder", "elbow")
    only = SMALL.replace('<motor name="elbow" joint="elbow"/>', "")
    assert build(only)[0].joints == ("shoulder",)
    none = only.replace('<motor name="shoulder" joint="shoulder"/>', "")
    assert build(none)[0].joints == ("shoulder", "elbow")


def test_the_models_own_actuators_make_way_for_torque():
    term, model = build(SERVO)
    assert SERVO != SMALL and model.nu == 2, "both of the shoulder's are gone"
    assert sorted(model.actuator(i).name for i in range(2)) == ["elbow", "shoulder"]
    data = mujoco.MjData(model)
    data.qpos[7] = 1.0  # a servo would pull back
    data.ctrl[list(term.ctrl_addresses)] = [1.5, -0.5]
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.qfrc_actuator[list(term.dof_addresses)], [1.5, -0.5])


def test_order_follows_the_config_and_addresses_follow_the_model():
    term, model = build(joints=["elbow", "shoulder"])
    assert term.qpos_addresses == (8, 7) and term.dof_addresses == (7, 6)
    assert [model.actuator(i).name for i in term.ctrl_addresses] == ["elbow", "shoulder"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"joints": ["elbo"]}, r"no hinge or slide joint 'elbo'.*Did you mean 'elbow'"),
        ({"joints": ["root"]}, r"no hinge or slide joint 'root'"),
    ],
)
def test_unknown_joints_are_refused(section, message):
    with pytest.raises(UserError, match=message):
        build(**section)


def test_a_table_that_names_a_joint_it_does_not_drive_is_refused():
    term, _ = build(joints=["elbow"], limit={"shoulder": 1.0})
    with pytest.raises(UserError, match=r"limit names 'shoulder'.*It drives: elbow"):
        call(term, [0.0])
