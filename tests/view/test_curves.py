import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ksim_cli.view.curves import COLORS, draw_plots, draw_series, smoothed, to_png, to_svg

X = np.linspace(0, 3e6, 50)
STRANGE = "</svg><script>alert(1)</script> $\\frac{ & 日本"


def test_series_are_lines_with_their_numbers_and_bands():
    y = np.sin(X)
    figure = draw_series({"a": (X, y), "b": (X, y, y - 1, y + 1)}, title="reward", x_label="steps")
    (axis,) = figure.axes
    for line in axis.lines:
        np.testing.assert_array_equal(line.get_xydata(), np.stack([X, y], axis=1))
    assert len({line.get_color() for line in axis.lines}) == 2
    (band,) = axis.collections
    low, high = band.get_datalim(axis.transData).intervaly
    assert (low, high) == pytest.approx((y.min() - 1, y.max() + 1))
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b"]
    assert (axis.get_title(), axis.get_xlabel()) == ("reward", "steps")


def test_more_series_than_a_plot_holds_make_another_plot():
    series = {f"term {i}": (X, X * i) for i in range(7)}
    figure = draw_series(series, max_values=3, figsize=(5, 2))
    assert [len(axis.lines) for axis in figure.axes] == [3, 3, 1]
    assert tuple(figure.get_size_inches()) == (5, 6)
    assert sum(len(axis.lines) for axis in draw_series(series, max_values=7).axes) == 7


def test_gaps_few_points_and_nothing_at_all():
    gaps = draw_series({"a": ([1, 2, 3], [1.0, math.nan, 3.0])})
    assert gaps.axes[0].lines[0].get_marker() == "o", "points between gaps would not be seen"
    assert draw_series({"a": (X, X)}).axes[0].lines[0].get_marker() in ("", "None")
    for empty in ({}, {"a": ([], [])}):
        assert to_svg(draw_series(empty)).startswith("<svg")


def test_an_svg_is_for_a_page_light_or_dark():
    svg = to_svg(draw_series({STRANGE: (X, X), "b": (X, -X)}, title=STRANGE, x_label=STRANGE))
    assert "script>" not in svg and "://" not in svg
    assert "currentColor" in svg and COLORS[0] in svg
    assert not re.search(r'<svg[^>]*(width|height)="', svg) and 'viewBox="' in svg
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    texts = ["".join(each.itertext()) for each in root.iter() if each.tag == "text"]
    assert texts.count(STRANGE) == 3, "letter by letter, and no formula"


@pytest.mark.parametrize("name", ["\ud800\x00", "\x1b[2J", "a\nb", "\u202e", ""])
def test_names_that_no_font_draws(name):
    svg = to_svg(draw_series({name: (X, X), f"{name}b": (X, X)}, title=name, x_label=name))
    svg.encode("utf-8")
    assert "\x1b" not in svg and "\x00" not in svg
    ElementTree.fromstring(svg.replace("xlink:href", "href"))


def test_plots_side_by_side():
    figure = draw_plots({"a": {"x": (X, X), "y": (X, -X)}, "b": {"x": (X, X)}}, figsize=(2, 1))
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    assert [len(axis.lines) for axis in figure.axes] == [2, 1]
    assert tuple(figure.get_size_inches()) == (4, 1)
    assert len(draw_plots({}).axes) == 1


def test_a_png_is_as_large_as_was_asked():
    png = to_png(draw_series({"a": (X, X)}, figsize=(4, 2)), dpi=50)
    assert png.startswith(b"\x89PNG")
    assert [int.from_bytes(png[i : i + 4], "big") for i in (16, 20)] == [200, 100]


def test_the_same_figure_gives_the_same_bytes():
    first, second = (to_svg(draw_series({"a": (X, X)}, title="t")) for _ in range(2))
    assert first == second


def test_a_long_name_keeps_its_end():
    figure = draw_series({"runs/" + "x" * 200 + "/17": (X, X)}, title="t" * 100)
    label = figure.axes[0].lines[0].get_label()
    assert len(label) == 60 and label.startswith("…") and label.endswith("/17")


def test_smoothing_is_a_running_mean_over_what_is_known():
    assert smoothed([1, 3, math.nan, 5, 7], 2) == [1, 2, 2, 4, 6]
    assert math.isnan(smoothed([math.nan, 1], 3)[0]) and smoothed([4, 8], 1) == [4, 8]
