import math

import numpy as np
import pytest

from ksim_cli.view.text_plot import draw_text

X = np.linspace(0, 3e6, 50)


def draw(series, **how):
    defaults = {"title": "reward", "x_label": "env steps", "size": (60, 12), "colors": False}
    return draw_text(series, **{**defaults, **how})


@pytest.mark.parametrize("size", [(40, 8), (100, 14), (200, 30)])
def test_a_plot_has_the_size_that_was_asked_and_no_control_characters(size):
    lines = draw({"a": (X, X)}, size=size).splitlines()
    assert len(lines) == size[1] and max(map(len, lines)) <= size[0]
    assert not any(character < " " for line in lines for character in line)
    assert "reward" in lines[0] and "env steps" in lines[-1]
    assert "1.50M" in lines[-2]
    assert "3.00M" in lines[-2] or size[0] < 100, "a narrow plot may have no room for the last"


def test_the_curve_is_where_its_numbers_are():
    lines = draw({"a": (X, X / 3e6)}).splitlines()
    body = [line.partition("┤")[2] or line.partition("│")[2] for line in lines[2:-3]]
    marked = [[i for i, c in enumerate(line) if c not in " │"] for line in body]
    centres = [sum(each) / len(each) for each in marked if each]
    assert len(centres) >= 6 and centres == sorted(centres, reverse=True)
    assert lines[2].startswith("1.000") and "0.000" in lines[-4]


def test_several_curves_are_told_apart_with_and_without_colours():
    series = {"one": (X, X), "two": (X, -X)}
    plain = draw(series)
    assert "one" in plain and "two" in plain and "*" in plain and "+" in plain
    colored = draw(series, colors=True)
    assert "\x1b[" in colored and len({c for c in colored.split("\x1b[") if "m" in c}) > 2


def test_one_curve_needs_no_legend():
    assert "name of it" not in draw({"name of it": (X, X)})


def test_gaps_single_points_constants_and_nothing():
    assert draw({"a": ([1, 2, 3], [1.0, math.nan, 3.0])}).count("\n") == 11
    assert "5.000" in draw({"a": ([1.0], [5.0])})
    assert "2.000" in draw({"a": (X, X * 0 + 2)})
    for nothing in ({}, {"a": ([], [])}, {"a": ([1], [math.nan])}):
        assert draw(nothing) == "reward: no values"


def test_names_bring_no_control_characters():
    text = draw({"a\x1b[2J\x07": (X, X), "b\n\r": (X, -X)}, title="t\x1b[31m\n", x_label="\x9bx")
    assert not any((c < " " and c != "\n") or c == "\x9b" for c in text)
    assert len(text.splitlines()) == 12


def test_the_next_plot_knows_nothing_of_the_last():
    first = draw({"a": (X, X)})
    draw({"b": (X, -X), "c": (X, X * 0)}, title="other", size=(80, 20), colors=True)
    assert draw({"a": (X, X)}) == first
