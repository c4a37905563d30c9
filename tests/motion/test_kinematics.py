import mujoco
import numpy as np

from ksim_cli.motion.kinematics import derived_fields
from tests.motion.motions import legged, walking


def test_what_is_derived_is_as_old_as_a_steps():
    """A rollout of `mj_step`: its view's derived fields, from its states alone."""
    model = legged()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.qvel[:] = np.linspace(-1.0, 2.0, model.nv)
    qpos, qvel, seen = [], [], []
    for _ in range(5):
        mujoco.mj_step(model, data)
        qpos.append(data.qpos.copy())
        qvel.append(data.qvel.copy())
        seen.append(data.xpos.copy())
    fields = derived_fields(
        model, np.array(qpos), np.array(qvel), ("xpos", "qpos"), model.opt.timestep
    )
    np.testing.assert_allclose(fields["xpos"], seen, atol=1e-6)
    np.testing.assert_allclose(fields["qpos"], qpos, atol=1e-6)


def test_without_an_age_all_is_of_the_frame():
    model, clip = legged(), walking()
    fields = derived_fields(model, clip.qpos, clip.qvel, ("xpos", "xquat"))
    np.testing.assert_allclose(fields["xpos"][:, 1], clip.qpos[:, :3], atol=1e-6)
    assert fields["xquat"].shape == (21, model.nbody, 4) and set(fields) == {"xpos", "xquat"}
