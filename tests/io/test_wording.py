import numpy as np
import pytest

from ksim_cli.io import wording


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (12345, "12,345"),
        (0.0, "0.000"),
        (0.0123456, "0.012"),
        (-12.345, "-12.35"),
        (987.25, "987.2"),
        (123456.7, "123,457"),
        (1e-5, "1.00e-05"),
        (2.5e7, "2.50e+07"),
        (float("nan"), "nan"),
        (np.float32(0.5), "0.500"),
        (np.int64(7), "7"),
        ("upright", "upright"),
    ],
)
def test_value(cell: object, text: str):
    assert wording.value(cell) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (42.4, "42 s"),
        (59.7, "1:00 min"),
        (185, "3:05 min"),
        (3599.6, "1:00:00 h"),
        (90061, "25:01:01 h"),
    ],
)
def test_seconds(duration: float, text: str):
    assert wording.seconds(duration) == text


def test_rate_and_count():
    assert [wording.rate(x) for x in (0.5, 999, 85_123, 2.5e6)] == [
        "0.5/s",
        "999.0/s",
        "85.1k/s",
        "2.5M/s",
    ]
    assert [wording.count(x) for x in (950, 85_100, 3_000_000, 1_200_000_000)] == [
        "950",
        "85.1k",
        "3.00M",
        "1.20G",
    ]


def test_pick_follows_the_patterns_and_leaves_clocks_and_counters_out():
    row = {
        "iteration": 3,
        "env_steps": 100,
        "policy_loss": 0.5,
        "episode_length": 12,
        "return": 7.0,
        "update_loss_seconds": 0.1,
    }
    assert wording.pick(row, wording.SHOWN) == [
        ("return", "7.000"),
        ("episode length", "12"),
        ("policy loss", "0.500"),
    ]
    assert wording.pick({"iteration": 1, "a": 1}, wording.SHOWN) == [("a", "1")]
    assert len(wording.pick({f"loss{i}": i for i in range(50)}, wording.SHOWN)) == 9


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_columns_fit_and_stay_in_place(width: int):
    cells = [("return", "7.0"), ("policy loss", "-0.012"), ("kl", "0.001")]
    lines = wording.columns(cells, width)
    assert [name.strip() for line in lines for name, _ in line] == [name for name, _ in cells]
    assert len({(len(name), len(text)) for line in lines for name, text in line}) == 1
    if width >= 40:
        assert all(5 + sum(len(n) + len(t) + 4 for n, t in line) - 3 <= width for line in lines)
    assert wording.columns([], width) == []


def test_table():
    assert wording.table("t", ["a", "bb"], [["x", "1"], ["yyy", "22"]], [False, True]) == [
        "t",
        "  a    bb",
        "  x     1",
        "  yyy  22",
    ]


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(wording.time, "monotonic", lambda: now[0])
    return now


def test_meter_leaves_the_compiling_interval_out_of_the_rate(clock: list[float]):
    meter = wording.Meter(1000, 11_000)
    assert meter.parts() == [" 9%", "1.0k/11.0k steps"]
    clock[0] += 50.0
    meter.add(2000)
    assert meter.per_second() == 20.0  # the best guess there is
    clock[0] += 1.0
    meter.add(3000)
    assert meter.per_second() == 1000.0
    assert meter.parts() == ["27%", "3.0k/11.0k steps", "1.0k/s", "ETA 8.0 s"]


def test_meter_forgets_what_is_long_ago(clock: list[float]):
    meter = wording.Meter(0, None)
    steps = 0
    for rate in (10, 1000):
        for _ in range(60):
            clock[0] += 1.0
            steps += rate
            meter.add(steps)
    assert meter.per_second() == 1000.0
    assert meter.parts()[0] == "..."
    assert len(meter.parts()) == 3  # no end, no time left


def test_meter_past_its_end_and_standing_still(clock: list[float]):
    meter = wording.Meter(0, 100)
    meter.add(150)
    assert (meter.share(), meter.per_second()) == (1.0, None)
