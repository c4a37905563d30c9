from ksim_cli.config.schema import ValidationKeys
from ksim_cli.run import schedule
from ksim_cli.run.schedule import Rate, Timer, validation_timer


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


def test_by_iterations_a_multiple_crossed_is_due():
    timer = Timer(None, 10)
    assert [timer.due(i, i + 1) for i in (8, 9, 10, 19)] == [False, True, False, True]
    assert timer.due(25, 31) and not timer.due(31, 39)


def test_by_time_it_is_due_once_for_each_interval(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(schedule, "time", clock)
    timer = Timer(5.0, None, first_seconds=1.0)
    assert not timer.due(0, 1)
    clock.now += 1.0
    assert timer.due(1, 2) and not timer.due(2, 3)
    clock.now += 4.9
    assert not timer.due(3, 4)
    clock.now += 0.2
    assert timer.due(4, 5)


def test_never():
    assert not Timer(None, None).due(0, 1_000_000)


def test_a_pause_does_not_count(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(schedule, "time", clock)
    rate = Rate(1000)
    clock.now += 2.0
    with rate.paused():
        clock.now += 50.0
    assert rate.per_second(1100) == 50.0


def test_the_first_iterations_may_be_due_each():
    timer = validation_timer(
        ValidationKeys(valid_first_n_steps=3, valid_every_n_steps=5, valid_every_n_seconds=None)
    )
    assert [i + 1 for i in range(11) if timer.due(i, i + 1)] == [1, 2, 3, 5, 10]
    assert not Timer(None, None).due(0, 1)
