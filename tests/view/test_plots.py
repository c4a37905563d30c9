import numpy as np
from PIL import Image

from ksim_cli.view.plots import Plot, elements, pages, write_plot

TIME = np.linspace(0, 1, 20)


def test_so_many_curves_share_a_plot_and_no_more():
    series = {str(i): TIME for i in range(7)}
    assert [list(page) for page in pages(series, 3)] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert [len(page) for page in pages(series, 8)] == [7] and pages({}, 3) == []


def test_each_element_of_a_vector_is_a_curve():
    series = elements({"a": np.arange(3), "b": np.arange(6).reshape(3, 2), "c": np.ones((3, 1))})
    assert list(series) == ["a", "b[0]", "b[1]", "c"]
    assert series["b[1]"].tolist() == [1, 3, 5]
    assert elements({"fired": np.array([False, True])})["fired"].tolist() == [0, 1]


def test_a_plot_is_as_large_as_asked_and_shows_its_curves(tmp_path):
    sizes, dark = [], []
    for width, series in (
        (4.0, {}),
        (4.0, {"a": TIME}),
        (8.0, {"a": TIME, "b": np.full(20, np.nan)}),
    ):
        path = tmp_path / "plot.png"
        write_plot(path, Plot("reward", (width, 2.0), series), TIME)
        with Image.open(path) as picture:
            sizes.append(picture.size)
            dark.append(np.asarray(picture.convert("HSV"))[:, :, 1].sum())
    assert sizes[0] == sizes[1] and sizes[2] == (2 * sizes[0][0], sizes[0][1])
    assert dark[0] < dark[1], "a curve has colour"
    assert [each.name for each in tmp_path.iterdir()] == ["plot.png"]
