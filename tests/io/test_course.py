import json
import math
import os

import pytest

from ksim_cli.errors import UserError
from ksim_cli.io import course as course_module
from ksim_cli.io.course import Course, read_course


def course_of(count, most_points):
    course = Course(most_points)
    for i in range(1, count + 1):
        course.add({"env_steps": 10 * i, "reward": float(i), "sparse": i if i % 5 == 0 else None})
    return course


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_short_course_is_its_rows():
    course = course_of(7, most_points=8)
    assert course.points("reward") == ([10.0 * i for i in range(1, 8)], [1, 2, 3, 4, 5, 6, 7])
    assert course.points("sparse") == ([50.0], [5.0])
    assert course.names == ["env_steps", "reward", "sparse"]
    assert course.last == {"env_steps": 70.0, "reward": 7.0, "sparse": 5.0}


@pytest.mark.parametrize("count", [9, 16, 17, 100, 1000])
def test_a_long_course_is_the_means_of_neighbours(count):
    course = course_of(count, most_points=8)
    each = 1
    while -(-count // each) > 8:
        each *= 2
    groups = [range(i, min(i + each, count + 1)) for i in range(1, count + 1, each)]
    steps, values = course.points("reward")
    assert values == pytest.approx([sum(group) / len(group) for group in groups])
    assert steps == pytest.approx([10 * value for value in values])
    assert 4 <= len(values) <= 8
    fives = [[i for i in group if i % 5 == 0] for group in groups]
    means = [sum(group) / len(group) for group in fives if group]
    assert course.points("sparse")[1] == pytest.approx(means)


def test_a_scalar_that_comes_late_and_one_that_goes():
    course = Course(4)
    for i in range(1, 7):
        course.add(
            {"env_steps": i} | ({"early": i} if i < 3 else {}) | ({"late": i} if i > 4 else {})
        )
    assert course.points("early") == ([1.5], [1.5])
    assert course.points("late") == ([5.5], [5.5])


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 1e300, -1e300, 10**400, "1", None, True, [1]]
)
def test_what_is_no_usual_number_was_not_measured(value):
    course = Course()
    course.add({"env_steps": 1, "reward": value})
    course.add({"env_steps": 2, "reward": 3.0})
    assert course.points("reward") == ([2.0], [3.0])


def test_an_unknown_scalar_has_no_points():
    assert course_of(3, 8).points("rewrad") == ([], [])
    assert Course().points("reward") == ([], [])


def test_the_memory_a_stranger_takes_is_bounded():
    course = Course(8)
    for _ in range(3):
        course.add({"env_steps": 1} | {f"scalar {i}": i for i in range(10_000)} | {"x" * 1000: 1.0})
    assert len(course.names) == course_module.MOST_NAMES and "env_steps" in course.names
    assert not [name for name in course.last if name not in course.names]


def test_a_file_is_read_up_to_what_is_no_row(tmp_path):
    path = written(tmp_path / "m.jsonl", [{"env_steps": i, "reward": i} for i in (1, 2)])
    assert read_course(path)[0].points("reward") == ([1, 2], [1, 2])
    whole = path.read_bytes()
    for bad in (b"{\n", b"[1]\n", b"\xff\n", b"[" * 100_000 + b"\n", b"1" * 5000 + b"\n"):
        path.write_bytes(whole + bad + whole)
        course, wrong = read_course(path)
        assert course.points("reward")[0] == [1, 2]
        assert wrong == f"m.jsonl, byte {len(whole)}: not a row of metrics; the rest is left out"


def test_a_torn_last_line_is_none_and_a_file_that_is_not_there_is_empty(tmp_path):
    path = written(tmp_path / "m.jsonl", [{"env_steps": 1, "reward": 5}])
    path.write_bytes(path.read_bytes() + b'{"env_steps": 2, "rew')
    course, wrong = read_course(path)
    assert course.points("reward") == ([1], [5]) and not wrong
    course, wrong = read_course(tmp_path / "absent.jsonl")
    assert course.names == [] and not wrong


def test_too_long_a_line_and_too_large_a_file_are_cut(tmp_path, monkeypatch):
    path = tmp_path / "m.jsonl"
    path.touch()
    os.truncate(path, 10**12)  # a hole: a terabyte that takes no room
    course, wrong = read_course(path)
    assert course.names == [] and wrong == "m.jsonl, byte 0: too long a line"
    monkeypatch.setattr(course_module, "MOST_BYTES", 100)
    written(path, [{"env_steps": i, "reward": i} for i in range(1, 50)])
    course, wrong = read_course(path)
    assert "there is too much of it" in wrong and course.points("reward")[1][-1] == 3


def test_links_and_pipes_are_not_read(tmp_path):
    written(tmp_path / "real.jsonl", [{"env_steps": 1}])
    (tmp_path / "link.jsonl").symlink_to("real.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name in ("link.jsonl", "pipe.jsonl"):
        with pytest.raises(UserError, match=name):
            read_course(tmp_path / name)
