import pytest

from ksim_cli.io.course import Course
from ksim_cli.io.dashboard import Dashboard, sparkline

TERMS = ("upright", "velocity", "energy", "alive", "torque", "height", "slip", "air_time")
SHOW = ("reward", "kl", "*loss")


def row(i):
    return {
        "iteration": i,
        "env_steps": 100 * i,
        "wall_seconds": float(i),
        "episode_return": float(i),
        "episode_length": 5.0,
        "eval_episode_return_mean": 10.0 * i if i % 10 == 0 else None,
        "failure_rate": 0.25,
        "level": 0.5,
        "reward": 0.1 * i,
        "kl": 0.01,
        "value_loss": 2.0,
        "grad_norm": 7.0,
        **{f"reward/{name}": float(j) for j, name in enumerate(TERMS)},
        "command_error/velocity": 0.75,
    }


def board_of(count=20, show=SHOW):
    board = Dashboard(show)
    for i in range(1, count + 1):
        board.add(row(i))
    return board


def text(board, width=100, height=30, **how):
    return [line.plain for line in board.lines(width, height, **how)]


def test_it_says_what_a_person_looks_for():
    shown = text(board_of())
    assert shown[0].split()[:2] == ["return", "20.00"] and shown[1].split()[:2] == [
        "length",
        "5.000",
    ]
    assert shown[2].split()[:2] == ["eval", "return"] and shown[2].split()[2] == "200.0"
    course = shown[0].split()[2]
    assert len(course) == 20 and list(course) == sorted(course) and {*course} == {*"▁▂▃▄▅▆▇█"}
    assert shown[2].endswith("▁█")
    whole = "\n".join(shown)
    for title in ("reward terms", "command errors", "training"):
        assert title in whole
    for name, value in (("velocity", "0.750"), ("failure rate", "0.250"), ("level", "0.500")):
        assert f"{name} " in whole and value in whole
    assert all(name.replace("_", " ") in whole for name in TERMS)
    assert "grad norm" not in whole, "what nobody asked for"
    assert "grad norm" in "\n".join(text(board_of(show=()))), "nobody said what to show"
    assert "seconds" not in whole and "iteration" not in whole


@pytest.mark.parametrize("width", [1, 10, 30, 40, 79, 80, 120, 300])
@pytest.mark.parametrize("height", [-3, 0, 1, 4, 5, 10, 20, 60])
def test_it_fits_in_any_terminal(width, height):
    lines = board_of().lines(width, height)
    assert len(lines) <= max(height, 0)
    assert all(line.cell_len <= width for line in lines)


def test_it_fits_in_the_smallest_usual_terminal_and_grows():
    small, large = text(board_of(), 80, 20), text(board_of(), 160, 40)
    assert not any("more" in line for line in small)
    assert len(large) < len(small), "a wider one holds more beside each other"
    assert max(map(len, large)) > 100
    cut = text(board_of(), 80, 8)
    assert len(cut) == 8 and any("more" in line for line in cut)


def test_a_long_section_takes_two_columns_where_there_is_room():
    board = Dashboard(())
    board.add({"env_steps": 1} | {f"reward/{i}": 1.0 for i in range(12)})
    heads = [len(text(board, width)) for width in (40, 80, 120)]
    assert heads == [14, 8, 6]


def test_what_is_not_measured_yet_has_no_course():
    board = Dashboard(SHOW)
    board.add({"env_steps": 1, "episode_return": None, "reward": 1.0})
    assert text(board)[0].split() == ["return", "-"]
    assert text(Dashboard(SHOW)) == []


def test_a_resumed_run_shows_the_whole_course():
    past = Course(240)
    for i in range(1, 101):
        past.add(row(i))
    board = Dashboard(SHOW, past)
    assert text(board)[0].split()[:2] == ["return", "100.0"]
    board.add(row(101))
    shown = text(board, width=300)[0]
    assert shown.split()[1] == "101.0" and shown.count("▁") + shown.count("▂") > 15


def test_names_from_a_file_bring_no_control_characters():
    board = Dashboard(("*",))
    board.add({"env_steps": 1, "reward/\x1b[2Jx\n\x07": 1.0, "y\x9b": 2.0})
    assert not any(c < " " or c == "\x9b" for line in text(board) for c in line)


def test_without_unicode_the_course_is_ascii():
    assert all(line.isascii() for line in text(board_of(), ascii_only=True))


def test_handing_over_a_row_costs_training_nothing():
    board = Dashboard(SHOW)
    for i in range(10_000):
        board.add(row(i))
    assert board._course.names == [], "rows wait for the thread that draws"
    text(board)
    assert not board._rows and len(board._course.points("reward")[0]) <= 240


@pytest.mark.parametrize(
    ("values", "width", "shown"),
    [
        ([], 5, ""),
        ([1.0], 0, ""),
        ([3.0], 5, "▅"),
        ([2.0, 2.0], 5, "▅▅"),
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([0, 0, 7, 7], 2, "▁█"),
        ([-1e100, 1e100], 2, "▁█"),
        ([0, 1, 2], 2, "▁█"),
    ],
)
def test_a_sparkline(values, width, shown):
    assert sparkline(values, width) == shown
