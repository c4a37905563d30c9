import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.mdp import maths


@pytest.mark.parametrize("sigmoid", ["gaussian", "quadratic"])
def test_tolerance_is_one_at_zero_and_its_value_at_the_margin(sigmoid):
    values = maths.tolerance(jnp.array([0.0, 2.0, -2.0]), 2.0, 0.25, sigmoid)
    np.testing.assert_allclose(values, [1.0, 0.25, 0.25], rtol=1e-6)


def test_quadratic_tolerance_ends_at_zero():
    values = maths.tolerance(jnp.array([0.5, 1.0, 3.0]), 1.0, 0.0, "quadratic")
    np.testing.assert_allclose(values, [0.75, 0.0, 0.0], atol=1e-7)


def test_an_unknown_sigmoid_is_refused():
    with pytest.raises(ValueError, match="sigmoid=cosine"):
        maths.tolerance(jnp.zeros(1), 1.0, 0.1, "cosine")


def test_tracking_is_one_over_e_at_sigma():
    # |(0.3, 0.4)| = 0.5.
    np.testing.assert_allclose(maths.tracking(jnp.array([0.3, 0.4]), 0.5), np.exp(-1), rtol=1e-6)


def random_quaternions(n=200):
    q = jax.random.normal(jax.random.key(0), (n, 4))
    return q / jnp.linalg.norm(q, axis=1, keepdims=True)


def test_quaternions_agree_with_mujoco():
    a, b = random_quaternions(), random_quaternions()[::-1]
    vectors = jax.random.normal(jax.random.key(1), (200, 3))
    turned, product = np.empty(3), np.empty(4)
    for i in range(200):
        mujoco.mju_rotVecQuat(turned, np.asarray(vectors[i], float), np.asarray(a[i], float))
        np.testing.assert_allclose(maths.rotate(vectors[i], a[i]), turned, atol=1e-5)
        mujoco.mju_mulQuat(product, np.asarray(a[i], float), np.asarray(b[i], float))
        np.testing.assert_allclose(maths.multiply(a[i], b[i]), product, atol=1e-5)
    np.testing.assert_allclose(maths.unrotate(maths.rotate(vectors, a), a), vectors, atol=1e-5)


def test_matrices_give_their_quaternions_wherever_the_divisor_is():
    quaternions = np.concatenate([np.asarray(random_quaternions(), float), np.eye(4)])
    matrix = np.empty(9)
    for q in quaternions:
        mujoco.mju_quat2Mat(matrix, q)
        got = maths.quaternion_from_matrix(jnp.asarray(matrix))
        np.testing.assert_allclose(got, maths.positive(jnp.asarray(q)), atol=2e-4)


def test_euler_angles_come_back():
    angles = jax.random.uniform(jax.random.key(2), (100, 3), minval=-1.4, maxval=1.4)
    back = maths.euler(maths.quaternion_from_euler(*angles.T))
    np.testing.assert_allclose(back, angles, atol=1e-5)
    # Ninety degrees to the left: x becomes y.
    left = maths.quaternion_from_euler(*jnp.array([0.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(maths.rotate(jnp.array([1.0, 0, 0]), left), [0, 1, 0], atol=1e-6)


def test_the_heading_is_the_yaw_alone():
    q = maths.quaternion_from_euler(*jnp.array([0.3, -0.4, 1.2]))
    np.testing.assert_allclose(maths.euler(maths.heading(q)), [0, 0, 1.2], atol=1e-5)


def test_gravity_in_the_bodys_frame():
    forward = maths.quaternion_from_euler(*jnp.array([0.0, np.pi / 6, 0.7]))
    np.testing.assert_allclose(
        maths.projected_gravity(forward), [0.5, 0.0, -np.cos(np.pi / 6)], atol=1e-6
    )
    assert maths.projected_gravity(random_quaternions()).shape == (200, 3)


@pytest.mark.parametrize(
    "addresses", [(), (2,), (1, 2, 3), (0, 1, 2, 3, 4), (3, 1), (1, 3), (2, 2)]
)
def test_picking_is_indexing(addresses):
    values = jnp.arange(5.0) * 1.5
    assert maths.pick(values, addresses).tolist() == [1.5 * i for i in addresses]
