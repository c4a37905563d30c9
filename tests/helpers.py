"""What several tests need: configs as the command line composes them, a small model."""

import copy
import dataclasses
import functools
from operator import attrgetter

import mujoco
import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf, open_dict

from ksim_cli.config import compose as composing
from ksim_cli.config.schema import RunConfig
from ksim_cli.paths import builtin_root, project_root
from ksim_cli.physics.model_variants import VARIED, ModelVariants

TINY = ("num_envs=4", "batch_size=2", "rollout_length_frames=4", "num_episodes=2")

# A ball on a plane with a touch sensor, and an arm of two hinges beside it: contacts, a free
# joint, sensors and hinges, and little else.
SMALL = """
<mujoco>
  <option timestep="0.002" integrator="implicitfast" iterations="50" ls_iterations="50"
          tolerance="1e-10"/>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 0.1"/>
    <body name="ball" pos="0 0 0.099">
      <freejoint name="root"/>
      <geom name="ball" type="sphere" size="0.1" mass="0.5"/>
      <site name="skin" type="sphere" size="0.11"/>
    </body>
    <body name="upper" pos="1 0 1">
      <joint name="shoulder" type="hinge" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.03" mass="0.3" contype="0"
            conaffinity="0"/>
      <body name="lower" pos="0.3 0 0">
        <joint name="elbow" type="hinge" axis="0 1 0" damping="0.1"/>
        <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" mass="0.2" contype="0"
              conaffinity="0"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor name="shoulder" joint="shoulder"/>
    <motor name="elbow" joint="elbow"/>
  </actuator>
  <sensor>
    <touch name="touch" site="skin"/>
    <jointvel name="elbow_rate" joint="elbow"/>
  </sensor>
</mujoco>
"""


def variants_of(nominal: mujoco.MjModel, *models: mujoco.MjModel) -> ModelVariants:
    """Given models as the start-up draws of a nominal one."""
    get = {name: attrgetter(name) for name in VARIED}
    tables = {name: np.stack([get[name](model) for model in models]) for name in VARIED}
    changed = {n: t for n, t in tables.items() if not np.array_equal(t, [get[n](nominal)] * len(t))}
    return ModelVariants(nominal, changed, len(models), 1)


def run_config(*overrides: str) -> RunConfig:
    """The config that `ksim train <overrides>` gives."""
    if project_root() is None and not any("task.model=" in each for each in overrides):
        return copy.deepcopy(_composed_once(overrides))
    return _composed(overrides)


def _composed(overrides: tuple[str, ...]) -> RunConfig:
    composing._register_schemas()
    Plugins.instance().register(composing.ProjectConfigs)
    with initialize_config_dir(str(builtin_root() / "configs"), version_base="1.3"):
        composed = compose("train", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(composed)
    with open_dict(composed):
        del composed["hydra"]
    assert OmegaConf.is_config(composed)
    return composing.to_run_config(composed)


_composed_once = functools.cache(_composed)
"""Where a project has no files of its own, the same is composed to the same; it takes long."""


def tiny_cartpole(*overrides: str, **changes) -> RunConfig:
    """The cart-pole with four environments."""
    return dataclasses.replace(run_config("task=cartpole", *TINY, *overrides), **changes)
