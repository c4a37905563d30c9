import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.config.components import JointMetadata
from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.actuators import Position, PositionVelocity, Torque
from ksim_cli.mdp.noise import AdditiveGaussian
from ksim_cli.mdp.term import JointState
from ksim_cli.physics.joint_metadata import joint_metadata
from ksim_cli.physics.motors import write_motors
from ksim_cli.registry import ACTUATORS
from tests.helpers import SMALL

register_terms()

SERVO = SMALL.replace(
    '<motor name="shoulder" joint="shoulder"/>',
    '<position name="servo" joint="shoulder" kp="50"/>'
    '<motor name="second" joint="shoulder" gear="9"/>',
)


def build(xml=SMALL, metadata=None, in_engine=False, **section):
    spec = mujoco.MjSpec.from_string(xml)
    metadata = joint_metadata(spec, metadata or {})
    term = ACTUATORS.build({"type": "torque", **section}, "actuators.all").resolve(spec, metadata)
    term = term.in_engine() if in_engine else term
    term.edit(spec)
    model = spec.compile()
    write_motors(model, term.motors())
    return term.bind(model), model


def call(term, action, position=(0.0, 0.0), velocity=(0.0, 0.0)):
    n = len(term.joints)
    joints = JointState(position=jnp.array(position[:n]), velocity=jnp.array(velocity[:n]))
    torque, carry = term(jnp.asarray(action, jnp.float32), joints, term.init(jax.random.key(0)))
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
    assert [model.actuator(i).name for i in range(model.nu)] == ["cable", "shoulder", "elbow"]


def test_the_joints_are_those_the_model_drives_and_all_where_it_drives_none():
    assert build()[0].joints == ("shoulder", "elbow")
    only = SMALL.replace('<motor name="elbow" joint="elbow"/>', "")
    assert build(only)[0].joints == ("shoulder",)
    none = only.replace('<motor name="shoulder" joint="shoulder"/>', "")
    assert build(none)[0].joints == ("shoulder", "elbow")


def test_the_models_own_actuators_make_way_for_torque():
    term, model = build(SERVO)
    assert [model.actuator(i).name for i in range(model.nu)] == ["servo", "second", "elbow"]
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
    with pytest.raises(UserError, match=r"limit: no joint of this actuator 'shoulder'.*elbow"):
        build(joints=["elbow"], limit={"shoulder": 1.0})


def test_tables_and_joints_take_patterns():
    term, _ = build(joints=["el*", "*"], limit={"*": 1.0, "elbow": 2.0})
    assert term.joints == ("elbow", "shoulder")
    np.testing.assert_array_equal(call(term, [3.0, -4.0]), [2.0, -1.0])


def test_what_is_known_of_a_joint_is_the_default_of_its_actuator():
    known = {"*": JointMetadata(kp=10.0, kd=1.0, torque_limit=4.0)}
    np.testing.assert_array_equal(call(build(metadata=known)[0], [9.0, -9.0]), [4.0, -4.0])
    scaled, _ = build(metadata=known, type="scaled_torque")
    np.testing.assert_array_equal(call(scaled, [0.5, -9.0]), [2.0, -4.0])
    # 10 * (0.2 - 0.1) - 1 * 0.3 = 0.7; the elbow is at its limit.
    position, _ = build(metadata=known, type="position")
    torque = call(position, [0.2, 5.0], position=(0.1, 0.0), velocity=(0.3, 0.0))
    np.testing.assert_allclose(torque, [0.7, 4.0], rtol=1e-5)


HOME = SMALL.replace(
    "</mujoco>",
    '<keyframe><key name="home" qpos="0 0 0.1 1 0 0 0 0.5 -0.5"/></keyframe></mujoco>',
)


def test_position_by_hand():
    term, _ = build(HOME, type="position", kp=100.0, kd={"*": 2.0, "elbow": 4.0}, scale=0.25)
    # Targets 0.5 + 0.25 * 1 and -0.5 + 0.25 * -2:
    # 100 * (0.75 - 0.7) - 2 * 1 = 3; 100 * (-1 + 0.9) - 4 * -2 = -2.
    torque = call(term, [1.0, -2.0], position=(0.7, -0.9), velocity=(1.0, -2.0))
    np.testing.assert_allclose(torque, [3.0, -2.0], rtol=1e-4)
    absolute, _ = build(HOME, type="position", kp=100.0, kd=0.0, relative=False)
    np.testing.assert_allclose(call(absolute, [0.1, 0.2]), [10.0, 20.0], rtol=1e-6)


def test_position_velocity_by_hand():
    term, _ = build(type="position_velocity", kp=10.0, kd=2.0, velocity_scale=0.5)
    assert term.action_size == 4
    # 10 * 0.3 + 2 * (0.5 * 4 - 1) = 5; 10 * -0.1 + 2 * (0.5 * 2 - 0) = 1.
    torque = call(term, [0.3, -0.1, 4.0, 2.0], velocity=(1.0, 0.0))
    np.testing.assert_allclose(torque, [5.0, 1.0], rtol=1e-5)


@pytest.mark.parametrize("kind", ["position", "position_velocity"])
def test_the_rest_action_moves_nothing(kind):
    term, _ = build(HOME, type=kind, kp=100.0, kd=3.0, scale=0.2)
    position = jnp.array([0.9, 0.1])
    rest = term.rest_action(position)
    np.testing.assert_allclose(call(term, rest, position=(0.9, 0.1)), [0.0, 0.0], atol=1e-4)


def test_a_joint_without_gains_is_named():
    message = r"joint 'elbow' has no kp. Set joints.elbow.kp"
    with pytest.raises(UserError, match=message):
        build(type="position", kp={"shoulder": 1.0}, kd=1.0)


def noisy(level=1.0, **noises):
    """Torques `[20 updates, 2]` of one episode for action 1, position 0, velocity 0."""
    term, _ = build(type="position", kp=10.0, kd=0.0, **noises)
    joints = JointState(position=jnp.zeros(2), velocity=jnp.zeros(2), level=jnp.float32(level))

    def episode(key):
        def update(carry, _):
            torque, carry = term(jnp.ones(2), joints, carry)
            return carry, torque

        return jax.lax.scan(update, term.init(key), None, length=20)[1]

    return np.asarray(jax.vmap(episode)(jax.random.split(jax.random.key(0), 500)))


@pytest.mark.parametrize(
    ("field", "noise", "std"),
    [
        ("action", {"type": "additive_gaussian", "std": 0.1}, 1.0),  # kp * 0.1
        ("torque", {"type": "additive_gaussian", "std": 0.5}, 0.5),
    ],
)
def test_noise_is_new_at_each_update_and_a_bias_once_per_episode(field, noise, std):
    fresh = noisy(**{f"{field}_noise": noise})
    np.testing.assert_allclose(fresh.std(axis=(0, 1)), std, rtol=0.05)
    assert fresh.std(axis=1).min() > 0.3 * std
    bias = noisy(**{f"{field}_bias": noise})
    assert (bias == bias[:, :1]).all()
    np.testing.assert_allclose(bias[:, 0].std(axis=0), std, rtol=0.15)
    half = noisy(level=0.5, **{f"{field}_bias": noise})
    np.testing.assert_allclose(half - 10.0, 0.5 * (bias - 10.0), atol=1e-4)


def test_gains_are_drawn_once_per_episode():
    torques = noisy(kp_bias={"type": "multiplicative_uniform", "magnitude": 0.2})
    assert (torques == torques[:, :1]).all()
    assert 8.0 <= torques.min() < 8.3 and 11.7 < torques.max() <= 12.0
    assert abs(np.corrcoef(torques[:, 0].T)[0, 1]) < 0.2, "each joint has its own"


def test_limits_per_direction_reach_every_kind_of_actuator():
    known = {"*": JointMetadata(kp=10.0, kd=0.0, torque_limit=(-5.0, 3.0))}
    for section in ({}, {"type": "scaled_torque", "gear_ratio": 100.0}, {"type": "position"}):
        term, _ = build(metadata=known, **section)
        assert term.torque_limits() == ((-5.0, 3.0),) * 2
        np.testing.assert_array_equal(call(term, [9.0, -9.0]), [3.0, -5.0])
    one, _ = build(metadata=known, limit={"elbow": 20.0})
    assert one.torque_limits() == ((-5.0, 3.0), (-20.0, 20.0)), "what is typed replaces the file's"


class Rough(Position):
    """A law of its own."""

    def __call__(self, action, joints, carry):
        torque, carry = super().__call__(action, joints, carry)
        return torque - jnp.sign(joints.velocity), carry


@pytest.mark.parametrize(
    ("term", "servo", "renewed"),
    [
        (Position(kp=1.0, kd=1.0), True, False),
        (PositionVelocity(kp=1.0, kd=1.0), True, False),
        (Position(kp=1.0, kd=1.0, action_bias=AdditiveGaussian(std=0.1)), True, False),
        (Position(kp=1.0, kd=1.0, action_noise=AdditiveGaussian(std=0.1)), True, True),
        *(
            (Position(kp=1.0, kd=1.0, **{name: AdditiveGaussian(std=0.1)}), False, True)
            for name in ("torque_noise", "torque_bias", "kp_bias", "kd_bias")
        ),
        (Rough(kp=1.0, kd=1.0), False, True),
    ],
)
def test_what_is_linear_and_undisturbed_is_left_to_the_engine(term, servo, renewed):
    assert not term.servo and term.renewed
    left = term.in_engine()
    assert (left.servo, left.renewed) == (servo, renewed)
    assert not Torque().in_engine().renewed


@pytest.mark.parametrize("kind", ["position", "position_velocity"])
@pytest.mark.parametrize("gear", [1.0, -25.0])
def test_a_servo_of_the_engine_has_the_same_torques(kind, gear):
    xml = HOME.replace('joint="shoulder"/>', f'joint="shoulder" gear="{gear}"/>')
    known = {"*": JointMetadata(kp=30.0, kd=2.0, torque_limit=(-4.0, 9.0))}
    outside, _ = build(xml, known, type=kind, scale=0.5)
    inside, model = build(xml, known, in_engine=True, type=kind, scale=0.5)
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    clipped = 0
    for _ in range(20):
        data.qpos[7:], data.qvel[6:] = rng.normal(size=2), 3 * rng.normal(size=2)
        action = rng.normal(size=inside.action_size)
        # Encoders that read 0.1 too little: both laws act on what they read.
        joints = JointState(
            position=jnp.array(data.qpos[7:] - 0.1),
            velocity=jnp.array(data.qvel[6:]),
            offset=jnp.full(2, 0.1),
        )
        data.ctrl[list(inside.ctrl_addresses)] = inside(jnp.array(action), joints, ())[0]
        mujoco.mj_forward(model, data)
        wanted = np.asarray(outside(jnp.array(action), joints, ())[0])
        clipped += np.isin(wanted, [-4.0, 9.0]).sum()
        np.testing.assert_allclose(data.qfrc_actuator[6:], wanted, rtol=1e-4, atol=1e-4)
    assert 5 < clipped < 35, "limits and what lies between them were both tried"
