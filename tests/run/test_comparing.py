import math
import statistics

import numpy as np
import pytest

from ksim_cli.io.course import Course
from ksim_cli.io.runs import RunFolder
from ksim_cli.run.comparing import (
    comparison,
    curve,
    differing_keys,
    group_runs,
    interval,
    student_t,
)
from ksim_cli.run.records import Record


def record(tmp_path, name, seed=0, returned=None, points=(), **config):
    course = Course()
    for step, value in points:
        course.add({"env_steps": step, "reward": value})
    config = {"seed": seed, "task.name": "cartpole", **config}
    path = RunFolder(tmp_path / "runs" / name)
    return Record(path, seed, config, course, {}, {}, returned, frozenset(), ())


@pytest.mark.parametrize(
    ("freedom", "point"),
    [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042), (10**6, 1.960)],
)
def test_the_points_of_student_s_t_are_those_of_the_tables(freedom, point):
    assert student_t(freedom) == pytest.approx(point, abs=5e-4)


def test_an_interval_is_that_of_the_textbook():
    values = [990.0, 970.0, 995.0, 980.0, 985.0]
    found = interval(values)
    assert found.mean == statistics.mean(values) and found.n == 5
    assert found.half == pytest.approx(2.776 * statistics.stdev(values) / math.sqrt(5), rel=1e-3)
    assert found.text() == "984.0 ± 11.94"
    assert interval([3.0]).half is None and interval([3.0]).text() == "3.000"
    assert interval([]) is None


def test_runs_that_differ_only_in_their_seed_are_one_group(tmp_path):
    records = [
        record(tmp_path, f"{gamma}-{seed}", seed, returned=gamma * seed, **{"algo.gamma": gamma})
        for seed in (2, 0, 1)
        for gamma in (0.9, 0.99)
    ]
    first, second = group_runs(records)
    assert (first.label, second.label) == ("gamma=0.9", "gamma=0.99")
    assert [each.seed for each in first.records] == [0, 1, 2]
    assert first.differing == {"algo.gamma": 0.9}
    columns, rows = comparison([first, second])
    assert columns == ["algo.gamma", "seeds", "eval return"]
    assert rows[0][:2] == ["0.9", "n=3: 0, 1, 2"] and rows[0][2].startswith("0.900 ± 2.236")


def test_runs_of_different_tasks_go_by_their_folders(tmp_path):
    many = {f"key{i}": i for i in range(8)}
    groups = group_runs([record(tmp_path, "a"), record(tmp_path, "b", **many)])
    assert [group.label for group in groups] == ["runs/a", "runs/b"]
    columns, rows = comparison(groups)
    assert columns == ["run", "seed"] and rows[1][0] == "runs/b"
    some = {f"key{i}": i for i in range(4)}
    columns, rows = comparison(group_runs([record(tmp_path, "a"), record(tmp_path, "b", **some)]))
    assert columns == ["run", *some, "seed"] and rows[1] == ["runs/b", "0", "1", "2", "3", "0"]
    (alone,) = group_runs([record(tmp_path, "a")])
    assert alone.label == "runs/a" and comparison([alone]) == (["run", "seed"], [["runs/a", "0"]])


def test_groups_that_look_alike_are_numbered(tmp_path):
    value = "x" * 50
    records = [record(tmp_path, f"{i}", **{"task.home": value + str(i)}) for i in range(2)]
    labels = [group.label for group in group_runs(records)]
    assert len(set(labels)) == 2 and labels[0].endswith("(1)")


def test_keys_that_differ():
    configs = [{"seed": 1, "a": 1, "b": [1], "c": None}, {"seed": 2, "a": 1, "b": [2]}]
    assert differing_keys(configs) == ["b", "c"]
    assert differing_keys(configs[:1]) == [] == differing_keys([])


def test_the_curve_of_a_group_is_the_mean_at_each_place(tmp_path):
    lines = [
        [(x, slope * x) for x in range(0, 101, step)] for slope, step in ((1, 1), (2, 4), (6, 50))
    ]
    (group,) = group_runs([record(tmp_path, f"{i}", i, points=p) for i, p in enumerate(lines)])
    x, mean, low, high = curve(group, "reward")
    np.testing.assert_allclose(mean, 3 * x, atol=1e-9)
    np.testing.assert_allclose(high - mean, 4.303 * math.sqrt(7) * x / math.sqrt(3), rtol=1e-3)
    np.testing.assert_allclose(mean - low, high - mean)


def test_a_curve_of_a_run_that_stopped_early_is_of_those_that_are_left(tmp_path):
    lines = [[(x, 1.0) for x in range(101)], [(x, 3.0) for x in range(51)]]
    (group,) = group_runs([record(tmp_path, f"{i}", i, points=p) for i, p in enumerate(lines)])
    x, mean, low, _ = curve(group, "reward")
    assert set(mean[x <= 50]) == {2.0} and set(mean[x > 50]) == {1.0}
    assert np.isfinite(low[x <= 50]).all() and np.isnan(low[x > 50]).all()


def test_a_curve_of_one_run_is_its_points_and_of_none_empty(tmp_path):
    (group,) = group_runs([record(tmp_path, "a", points=[(1, 5.0), (2, 6.0)])])
    x, y = curve(group, "reward")
    assert (list(x), list(y)) == ([1, 2], [5, 6])
    assert [len(each) for each in curve(group, "absent")] == [0, 0]
