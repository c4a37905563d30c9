import numpy as np

from ksim_cli.view.history import History


def test_the_last_values_stay_in_their_order():
    history = History(3)
    assert history.curves() == {}
    for i in range(5):
        history.add({"a": {"x": float(i)}, **({"b": {"y": -1.0}} if i == 4 else {})})
        shown = history.curves()["a"]["x"].tolist()
        assert shown == [float(j) for j in range(max(0, i - 2), i + 1)]
    late = history.curves()["b"]["y"]
    assert np.isnan(late[:2]).all() and late[2] == -1.0
    history.clear()
    assert history.curves() == {}


def test_what_is_not_finite_leaves_a_gap_and_what_was_given_out_stays():
    history = History(4)
    history.add({"a": {"x": np.inf}})
    given = history.curves()["a"]["x"]
    assert np.isnan(given).all()
    history.add({"a": {"x": 2.0}})
    assert len(given) == 1 and history.curves()["a"]["x"].tolist()[1:] == [2.0]
