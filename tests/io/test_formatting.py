import numpy as np
import pytest

from ksim_cli.io import formatting

SHOWN = ("*return*", "*episode_length*", "*loss*")


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
    assert formatting.value(cell) == text


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
    assert formatting.seconds(duration) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (950, "950"),
        (85_100, "85.1k"),
        (3_000_000, "3.00M"),
        (1_200_000_000, "1.20G"),
        (0.5, "0.5"),
        (999.0, "999.0"),
        (2.5e6, "2.50M"),
    ],
)
def test_count(number: float, text: str):
    assert formatting.count(number) == text


def test_pick_follows_the_patterns_and_leaves_clocks_and_counters_out():
    row = {
        "iteration": 3,
        "env_steps": 100,
        "policy_loss": 0.5,
        "episode_length": 12,
        "return": 7.0,
        "update_loss_seconds": 0.1,
    }
    assert formatting.pick(row, SHOWN) == [
        ("return", "7.000"),
        ("episode length", "12"),
        ("policy loss", "0.500"),
    ]
    assert formatting.pick({"iteration": 1, "a": 1}, SHOWN) == [("a", "1")]
    assert len(formatting.pick({f"loss{i}": i for i in range(50)}, SHOWN)) == 9


def test_a_label_is_one_clean_line_and_keeps_its_end():
    assert formatting.label("a\x1b[2J b\n\tc\ud800", 50) == "a b c"
    assert formatting.label("runs/" + "x" * 50 + "/7", 10) == "…xxxxxxx/7"
    assert len(formatting.label("x" * 50, 10)) == 10 and formatting.label("x" * 10, 10) == "x" * 10
