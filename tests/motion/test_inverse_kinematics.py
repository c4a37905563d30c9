import mujoco
import mujoco.minimize
import numpy as np

from ksim_cli.config.components import RetargetConfig
from ksim_cli.motion.clip import Clip
from ksim_cli.motion.inverse_kinematics import Solver
from ksim_cli.motion.points import match, points_of, product
from tests.motion.motions import about_z, legged, walking
from tests.motion.test_retarget import BALL, brought


def test_the_first_pose_is_home_moved_and_turned_to_the_points():
    model = legged()
    pose = model.key_qpos[0].copy()
    pose[:3] = [3.0, -1.0, 0.7]
    pose[3:7] = about_z(2.5)
    clip = Clip("x", 50.0, np.stack([pose, pose]), np.zeros((2, model.nv)))
    points = points_of(model, clip)
    pairs = match(model, points, {}, {})
    solver = Solver(model, pairs, RetargetConfig(), has_turns=False)
    ours = points.frames.positions[0, [pair.source for pair in pairs]]
    np.testing.assert_allclose(solver.placed(ours), pose, atol=1e-12)
    np.testing.assert_allclose(product(about_z(1.0), about_z(1.5)), about_z(2.5))


def test_the_jacobian_is_the_residuals_derivative(monkeypatch, capsys):
    """MuJoCo compares it with differences at the first iteration, and raises where they differ."""
    checked = []
    solve = mujoco.minimize.least_squares

    def checking(x0, *arguments, **options):
        given = np.random.default_rng(len(checked)).uniform(-0.4, 0.4, x0.shape)
        checked.append(1)
        return solve(given, *arguments, check_derivatives=True, **options)

    monkeypatch.setattr(mujoco.minimize, "least_squares", checking)
    config = RetargetConfig(
        ground=False, home_weight=0.3, smoothness_weight=0.2, orientation_weight=0.5
    )
    brought(legged(), points_of(legged(), walking(frames=3)), config=config)
    model = mujoco.MjModel.from_xml_string(BALL)
    still = Clip("x", 50.0, np.repeat(model.qpos0[None], 3, axis=0), np.zeros((3, model.nv)))
    brought(model, points_of(model, still), config=config)
    assert len(checked) == 6
    assert capsys.readouterr().out.count("matches finite-differences") == 6
