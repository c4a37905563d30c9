"""The loop of a live viewer, with a screen that a test holds and a session that counts."""

from types import SimpleNamespace

import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.run import live
from ksim_cli.run.live import Live
from ksim_cli.view import desk as orders
from ksim_cli.view.desk import Desk, Labels


class Clock:
    """Time that goes by only while one sleeps."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += max(seconds, 1e-3)


class Screen:
    """Shows a number of pictures; before each, what a person orders by then."""

    def __init__(self, pictures, given=None):
        self.desk = Desk(Labels("robot", {"speed": ((-1.0, 1.0),)}, 0.02))
        self.left, self.given, self.shown = pictures, given or {}, []
        self.unwatched = 0

    def is_open(self):
        for order in self.given.get(len(self.shown), ()):
            self.desk.put(order)
        return len(self.shown) < self.left

    def is_watched(self):
        self.unwatched -= 1
        return self.unwatched < 0

    def show(self, qpos, qvel, seconds):
        self.shown.append((float(qpos[0]), seconds, self.desk.board))

    def close(self):
        pass


class Session:
    """Counts its steps in `qpos`; keeps the wishes it was given."""

    def __init__(self):
        self.count, self.wishes, self.restarts, self.taken = 0, [], 0, []
        self.shown, self.title = None, ""
        self.model = SimpleNamespace(nv=6, nbody=2)
        self.layout = {"a": {"x": 2}}

    def state(self):
        return np.array([float(self.count)]), np.zeros(1)

    def commands(self):
        return {"speed": np.array([0.5])}

    def restart(self):
        self.restarts += 1
        self.shown = None

    def take(self, policy, player=None):
        self.taken.append(policy)

    def step(self, wishes):
        self.count += 1
        self.wishes.append((dict(wishes.held), wishes.velocity, wishes.force))
        self.shown = SimpleNamespace(
            qpos=np.array([float(self.count)]),
            qvel=np.zeros(1),
            time=0.02 * self.count,
            obs={"a": np.array([1.0, 2.0])},
            action=np.array([3.0]),
            torque=np.array([4.0]),
            reward=1.0,
            rewards={"up": 0.25 * self.count},
            commands={"speed": np.array([0.5])},
            command_errors={"speed": 0.1},
            ended=self.count % 10 == 0,
            quarantined=0,
        )
        return self.shown


class Policies:
    first = "newest"

    def __init__(self):
        self.fresh = []

    def names(self):
        return ("newest", "00000010", "zero")

    def get(self, name):
        if name == "zero":
            raise UserError("cannot be read")
        return None, name

    def newer(self):
        return self.fresh.pop(0) if self.fresh else None


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    monkeypatch.setattr(live, "_free_velocities", lambda model: 0)
    return clock


def watch(pictures, given=None, seconds=None, averaged=1, policies=None):
    session, screen = Session(), Screen(pictures, given)
    Live(session, screen, policies or Policies(), averaged).run(seconds)
    return session, screen


def test_it_plays_in_real_time_until_it_is_closed(clock):
    session, screen = watch(50)
    assert session.count == 50 and clock.now == pytest.approx(1.0, abs=0.05)
    assert [qpos for qpos, _, _ in screen.shown] == [float(i) for i in range(1, 51)]


@pytest.mark.parametrize(("factor", "seconds"), [(0.5, 2.0), (2.0, 0.5)])
def test_speed_changes_how_fast_time_goes_by(clock, factor, seconds):
    watch(50, {0: [orders.Speed(factor)]})
    assert clock.now == pytest.approx(seconds, rel=0.1)


def test_seconds_end_it_even_while_it_stands_still(clock):
    session, _ = watch(10**6, {3: [orders.Pause(True)]}, seconds=2.0)
    assert session.count == 3 and clock.now == pytest.approx(2.0, abs=0.1)


def test_pause_single_step_and_on():
    given = {2: [orders.Pause(True)], 5: [orders.SingleStep()], 8: [orders.Pause(False)]}
    _, screen = watch(12, given)
    assert [qpos for qpos, _, _ in screen.shown] == [1, 2, 2, 2, 2, 3, 3, 3, 4, 5, 6, 7]
    assert [board.paused for _, _, board in screen.shown] == [False] * 2 + [True] * 6 + [False] * 4


def test_a_push_is_once_a_pull_lasts_and_a_command_is_held_until_let_go():
    force = np.ones((2, 6))
    given = {
        1: [orders.Push("left", 0.5), orders.Pull(force), orders.Hold("speed", (0.7,))],
        3: [orders.Pull(np.zeros((2, 6))), orders.Hold("speed", None)],
    }
    session, screen = watch(5, given)
    assert [velocity is not None for _, velocity, _ in session.wishes] == [False, True] + [
        False
    ] * 3
    assert session.wishes[1][1].tolist() == [0.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert [force is not None for _, _, force in session.wishes] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert [list(held) for held, _, _ in session.wishes] == [[], ["speed"], ["speed"], [], []]
    assert [set(board.held) for _, _, board in screen.shown][1:4] == [{"speed"}, {"speed"}, set()]


def test_the_next_episode_forgets_the_curves():
    session, screen = watch(6, {4: [orders.Restart(), orders.Pause(True)]})
    assert session.restarts == 1 and screen.shown[-1][2].curves == {}


def test_curves_are_what_was_computed_rewards_averaged():
    _, screen = watch(4, averaged=2)
    curves = screen.shown[-1][2].curves
    assert curves["rewards"]["up"].tolist() == [0.25, 0.375, 0.625, 0.875]
    assert curves["rewards"]["total"].tolist() == [1.0] * 4
    assert curves["actions"]["[0]"].tolist() == [3.0] * 4
    assert curves["torques"]["[0]"].tolist() == [4.0] * 4
    assert curves["command errors"]["speed"].tolist() == [0.1] * 4
    assert curves["commands"]["speed"].tolist() == [0.5] * 4
    assert curves["observations of a: x"]["[1]"].tolist() == [2.0] * 4


def test_another_policy_acts_and_one_that_cannot_be_read_is_told():
    given = {1: [orders.Choose("00000010")], 3: [orders.Choose("zero")]}
    session, screen = watch(5, given)
    assert session.taken == ["00000010"]
    assert [board.policy for _, _, board in screen.shown] == ["newest"] + ["00000010"] * 4
    assert any("cannot be read" in line for line in screen.shown[-1][2].status)


def test_the_newest_policy_is_followed_and_only_that():
    policies = Policies()
    policies.fresh = [("now of iteration 7", "seven")]
    session, _ = watch(120, policies=policies)
    assert session.taken == ["seven"]
    policies.fresh = [("now of iteration 9", "nine")]
    session, _ = watch(120, {0: [orders.Choose("00000010")]}, policies=policies)
    assert session.taken == ["00000010"]


def test_time_stands_still_while_nobody_looks(clock):
    session, screen = Session(), Screen(11)
    screen.unwatched = 30
    Live(session, screen, Policies()).run()
    assert session.count == 10 and clock.now == pytest.approx(30 / 30 + 10 * 0.02, abs=0.05)
    first, *others = [qpos for qpos, _, _ in screen.shown]
    assert first == 0.0 and others == [float(i) for i in range(1, 11)]


def test_it_is_left_when_asked():
    def leave():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Live(Session(), Screen(5), Policies(), 1, leave).run()
