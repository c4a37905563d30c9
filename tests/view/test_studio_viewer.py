"""What Studio's own controls ask for becomes an order, or nothing; the browser's test has the rest."""

import mujoco
import numpy as np
import pytest

from ksim_cli.view import desk as orders
from ksim_cli.view.desk import Desk, Labels

studio_viewer = pytest.importorskip(
    "ksim_cli.view.studio_viewer", reason="MuJoCo Studio does not work here"
)
from mujoco.studio import messages, sim  # noqa: E402 # only where the above does

FORCE = np.arange(12.0).reshape(2, 6)


def handled(handler, message):
    """The orders that a message becomes; it goes no further, to Studio's own handlers."""
    desk = Desk(Labels("robot", {}, 0.02))
    assert getattr(studio_viewer.Link(desk), handler)(message) is True
    return desk.take()


@pytest.mark.parametrize(
    ("handler", "message", "wanted"),
    [
        (
            "on_step_control",
            messages.StepControlSnapshot(sim.PauseState.NORMAL_PAUSED, 50.0),
            [orders.Pause(True), orders.Speed(0.5)],
        ),
        ("on_pause", messages.RequestPauseEvent(sim.PauseState.UNPAUSED), [orders.Pause(False)]),
        ("on_single_step", messages.SingleStepEvent(), [orders.SingleStep()]),
        ("on_reset", messages.ResetEvent(), [orders.Restart()]),
        # Nobody gives the environment a state, physics or a model that are not its episode's.
        ("on_load", messages.LoadModelEvent("other.xml"), []),
        ("on_state", messages.StateEvent(np.zeros(3), 0), []),
        ("on_keyframe", messages.KeyframeEvent(0, np.zeros(3)), []),
        (
            "on_options",
            messages.MjOptionSnapshot(mujoco.MjModel.from_xml_string("<mujoco/>").opt),
            [],
        ),
        ("on_perturb", messages.PerturbSnapshot(np.zeros(3), 0), []),
    ],
)
def test_what_studio_asks_for_becomes_an_order_or_nothing(handler, message, wanted):
    assert handled(handler, message) == wanted


def test_the_mouse_pulls():
    sent = messages.PerturbSnapshot(FORCE.ravel(), studio_viewer.FORCES)
    (pull,) = handled("on_perturb", sent)
    np.testing.assert_array_equal(pull.force, FORCE)
