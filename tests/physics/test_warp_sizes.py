import mujoco
import numpy as np
import pytest

from ksim_cli.physics.warp_sizes import BufferSizes, buffer_sizes
from tests.helpers import SMALL

BOXES = """
<mujoco>
  <option cone="{cone}"/>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body name="a"><freejoint/><geom type="box" size="1 1 1" condim="{condim}"/></body>
    <body name="b"><joint type="slide" limited="true" range="0 1" frictionloss="1"/>
      <geom type="capsule" size="1 1"/></body>
  </worldbody>
  <equality><weld body1="a"/><connect body1="a" anchor="0 0 0"/></equality>
</mujoco>
"""


def sizes(xml, pairs, num_envs):
    return buffer_sizes(mujoco.MjModel.from_xml_string(xml), np.array(pairs), num_envs)


def test_a_ball_on_a_plane_has_one_contact_of_four_rows():
    assert sizes(SMALL, [(0, 1)], 10) == BufferSizes(naconmax=10, njmax=4)


def test_nothing_is_of_size_zero():
    assert sizes(SMALL, np.zeros((0, 2), int), 10) == BufferSizes(naconmax=1, njmax=1)


@pytest.mark.parametrize(
    ("cone", "condim", "rows"),
    [("pyramidal", 3, 4), ("pyramidal", 6, 10), ("elliptic", 3, 3), ("elliptic", 6, 6)],
)
def test_every_kind_of_constraint_is_counted(cone, condim, rows):
    # A box on the plane has 4 contacts, a capsule on it 2, and the two 2 with each other.
    found = sizes(BOXES.format(cone=cone, condim=condim), [(0, 1), (0, 2), (1, 2)], 3)
    assert found == BufferSizes(naconmax=3 * 8, njmax=6 + 3 + 1 + 1 + 8 * rows)


def test_many_geoms_do_not_all_touch_each_other():
    spec = mujoco.MjSpec()
    for _ in range(20):
        body = spec.worldbody.add_body()
        body.add_freejoint()
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[1, 1, 1])
    pairs = np.stack(np.triu_indices(20, 1), axis=1)
    found = buffer_sizes(spec.compile(), pairs, 2)
    assert found.naconmax == 2 * (4 * 20 + 8)
