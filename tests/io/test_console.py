import io
import json
import re
import sys
import time
from pathlib import Path

import pytest

from ksim_cli.io import console as console_module
from ksim_cli.io.console import Console, open_console, silent_console

STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.MULTILINE)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "train.log"


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "30")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def without_stamps(log: Path) -> str:
    return re.sub(r"^.{19}(  )?", "", log.read_text(), flags=re.MULTILINE)


def train(console: Console, clock: list[float], seconds: int) -> None:
    with console.progress(10 * seconds, 0) as progress:
        for second in range(1, seconds + 1):
            clock[0] += 1.0
            progress.update(10 * second, {"iteration": second, "return": float(second)})


def test_plain_output_and_log_are_the_same_text(log: Path):
    stream = io.StringIO()
    console = open_console(log, stream)
    assert not console.live
    console.print("tensor [T, N] [bold]stays[/bold]", style="bold")
    console.print("first\nsecond")
    console.table("rewards", ["name", "weight"], [["upright", 1.0], ["energy", None]])
    console.close()
    assert stream.getvalue() == (
        "tensor [T, N] [bold]stays[/bold]\nfirst\nsecond\n"
        "rewards\n  name     weight\n  upright   1.000\n  energy        -\n"
    )
    assert without_stamps(log) == stream.getvalue()
    assert len(STAMP.findall(log.read_text())) == 7


def test_warnings_go_to_standard_error(log: Path, capsys):
    console = open_console(log)
    console.warn("step 3 is passed over")
    console.close()
    out, err = capsys.readouterr()
    assert (out, err) == ("", "warning: step 3 is passed over\n")
    assert without_stamps(log) == err


def test_plain_progress_is_the_first_line_one_per_five_seconds_and_the_last(
    log: Path, clock: list[float]
):
    stream = io.StringIO()
    console = open_console(log, stream)
    train(console, clock, 13)
    console.close()
    lines = stream.getvalue().splitlines()
    assert [re.search(r"return (\S+)", line)[1] for line in lines] == [
        "1.000",
        "6.000",
        "11.00",
        "13.00",
    ]
    assert lines[1] == "46%  60/130 steps  10.0/s  ETA 7.0 s  return 6.000"
    assert "\x1b" not in stream.getvalue() and "\r" not in stream.getvalue()
    assert without_stamps(log) == stream.getvalue()


def test_the_last_line_is_printed_even_when_training_fails(clock: list[float]):
    stream = io.StringIO()
    console = open_console(None, stream)
    with pytest.raises(RuntimeError), console.progress(100, 0) as progress:
        progress.update(10, {"return": 1.0})
        progress.update(20, {"return": 2.0})
        raise RuntimeError
    assert "return 2.000" in stream.getvalue().splitlines()[-1]


def test_status_says_how_long_it_took(log: Path, clock: list[float]):
    stream = io.StringIO()
    console = open_console(log, stream)
    with console.status("compiling train step"):
        clock[0] += 12.3
    with pytest.raises(ValueError), console.status("reading model"):
        clock[0] += 0.5
        raise ValueError
    console.close()
    assert stream.getvalue().splitlines() == [
        "compiling train step ...",
        "compiling train step took 12 s",
        "reading model ...",
        "reading model failed after 0.5 s",
    ]
    assert without_stamps(log) == stream.getvalue()


def test_status_within_progress_goes_to_the_log_only(log: Path, clock: list[float]):
    stream = io.StringIO()
    with (
        open_console(log, stream) as console,
        console.progress(100, 0),
        console.status("evaluating"),
    ):
        clock[0] += 2.0
    assert stream.getvalue() == ""
    assert without_stamps(log) == "evaluating ...\nevaluating took 2.0 s\n"


def test_control_characters_reach_neither_terminal_nor_log(log: Path, terminal: Terminal):
    for stream in (io.StringIO(), terminal):
        console = open_console(log, stream)
        console.print("a\x1b[2Jb\x07c\x1b]0;title\x07d\x9be")
        console.table("\x1b[31mt", ["\x1b[2Jc"], [["\x1b[2Jv"]])
        console.close()
        assert "\x1b[2J" not in stream.getvalue() and "\x07" not in stream.getvalue()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", log.read_text())


def test_a_stream_that_knows_ascii_only(log: Path):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console = open_console(log, stream)
    console.print("μ = 0.5 …")
    console.close()
    assert raw.getvalue() == b"? = 0.5 ?\n"
    assert "μ = 0.5 …" in log.read_text(encoding="utf-8")


def test_the_log_is_appended_to(log: Path):
    for text in ("one", "two"):
        console = open_console(log, io.StringIO())
        console.print(text)
        console.close()
    assert without_stamps(log) == "one\ntwo\n"


def test_on_a_terminal_progress_is_live_and_the_log_plain(
    log: Path, terminal: Terminal, clock: list[float]
):
    console = open_console(log, terminal)
    assert console.live
    with console.status("compiling"):
        pass
    with console.progress(1000, 0) as progress:
        progress.update(500, {"return": 12.5, "policy_loss": 0.1})
        with console.status("evaluating"):
            console.print("in between")
    console.warn("careful")
    console.close()
    shown = terminal.getvalue()
    for text in ("\x1b[", "━", "50%", "policy loss", "evaluating", "in between", "careful"):
        assert text in shown
    assert without_stamps(log).splitlines() == [
        "compiling ...",
        "compiling took 0.0 s",
        "50%  500/1.0k steps  " + without_stamps(log).splitlines()[2].split("  ", 2)[2],
        "evaluating ...",
        "in between",
        "evaluating took 0.0 s",
        "warning: careful",
    ]
    assert "\x1b" not in log.read_text()


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_no_live_line_is_wider_than_the_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, width: int
):
    monkeypatch.setenv("COLUMNS", str(width))
    console = open_console(None, terminal)
    row = {f"a_rather_long_name_{i}": -1234.5 for i in range(9)}
    with console.progress(3_000_000_000, 0, ("*",)) as progress, console.status("evaluate " * 20):
        progress.update(1_400_000_000, row)
        lines = console._rich.render_lines(console._bars, pad=False)
    lengths = [sum(segment.cell_length for segment in line) for line in lines]
    assert max(lengths) <= width
    across = max(1, min(width // 36, 2))
    assert len(lines) == 1 + (1 + 1 + -(-9 // across)) + 1, "bar, dashboard, what else goes on"


@pytest.mark.parametrize("height", [5, 10, 24, 60])
def test_no_live_display_is_higher_than_the_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, height: int
):
    monkeypatch.setenv("LINES", str(height))
    console = open_console(None, terminal)
    row = {f"reward/{i}": 1.0 for i in range(100)}
    with console.progress(1000, 0) as progress, console.status("evaluating"):
        progress.update(500, row)
        lines = console._rich.render_lines(console._bars, pad=False)
    assert len(lines) <= height - 1


def test_a_resumed_run_shows_its_course_from_the_beginning(terminal: Terminal, tmp_path: Path):
    past = tmp_path / "metrics.jsonl"
    rows = [{"iteration": i, "env_steps": 10 * i, "episode_return": float(i)} for i in range(1, 9)]
    past.write_text("".join(json.dumps(row) + "\n" for row in rows))
    console = open_console(None, terminal)
    with console.progress(1000, 80, (), past) as progress:
        progress.update(90, {"episode_return": 9.0})
        (line,) = [
            "".join(segment.text for segment in line)
            for line in console._rich.render_lines(console._bars, pad=False)
            if "return" in "".join(segment.text for segment in line)
        ]
    assert line.split()[:2] == ["return", "9.000"] and len(line.split()[2]) == 9
    past.write_text("nonsense\n")
    with open_console(None, terminal).progress(1000, 80, (), past) as progress:
        progress.update(90, {"episode_return": 9.0})


def test_what_a_terminal_shows_of_the_past_is_not_read_for_a_pipe(tmp_path: Path, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("read for nothing")

    monkeypatch.setattr(console_module, "read_course", refuse)
    with open_console(None, io.StringIO()).progress(10, 0, (), tmp_path / "m.jsonl") as progress:
        progress.update(5, {"episode_return": 1.0})


def test_the_rate_leaves_out_the_compiling_interval_and_what_is_long_ago(clock: list[float]):
    stream = io.StringIO()
    console = open_console(None, stream)
    with console.progress(1_000_000, 1000) as progress:
        for seconds, done in ((50.0, 2000), (6.0, 8000), (6.0, 14_000), (400.0, 14_010)):
            clock[0] += seconds
            progress.update(done, {"return": 1.0})
        for _ in range(2):
            clock[0] += 200.0
            done += 2000
            progress.update(done, {"return": 1.0})
    words = [line.split("  ")[1:-1] for line in stream.getvalue().splitlines()]
    assert words[:3] == [
        ["2.0k/1.00M steps"],
        ["8.0k/1.00M steps", "1.0k/s", "ETA 16:32 min"],
        ["14.0k/1.00M steps", "1.0k/s", "ETA 16:26 min"],
    ]
    assert words[-1][1] == "10.0/s"


def test_progress_without_an_end_standing_still_and_past_its_end(clock: list[float]):
    stream = io.StringIO()
    console = open_console(None, stream)
    for total, steps in ((None, (5, 10, 10)), (100, (50, 150))):
        with console.progress(total) as progress:
            for each in steps:
                clock[0] += 6.0
                progress.update(each, {})
    assert stream.getvalue().splitlines() == [
        "...  5 steps",
        "...  10 steps  0.8/s",
        "...  10 steps  0.8/s",
        "50%  50/100 steps",
        "100%  150/100 steps  16.7/s  ETA 0.0 s",
    ]


def test_a_long_path_is_not_broken_on_a_terminal(terminal: Terminal):
    console = open_console(None, terminal)
    console.print("run " + "/folder" * 20)
    assert "/folder" * 20 in terminal.getvalue()


def test_a_dumb_terminal_gets_plain_lines(terminal: Terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    console = open_console(None, terminal)
    assert not console.live
    console.print("text")
    assert terminal.getvalue() == "text\n"


def test_a_silent_console_says_nothing(capfd):
    console = silent_console()
    console.print("text")
    console.warn("careful")
    console.table("t", ["a"], [[1]])
    with console.progress(10) as progress, console.status("evaluating"):
        progress.update(5, {"return": 1.0})
    assert capfd.readouterr() == ("", "")


def test_neither_jax_nor_numpy_is_imported():
    import subprocess

    code = (
        "import sys; from ksim_cli.io.console import open_console\n"
        "console = open_console(None)\n"
        "with console.status('a'), console.progress(10) as p: p.update(5, {'return': 1.0})\n"
        "assert not [m for m in ('jax', 'numpy') if m in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("kind", ["status", "waiting"])
def test_a_long_step_gives_signs_of_life_where_there_is_no_terminal(kind, log, monkeypatch):
    monkeypatch.setattr(console_module, "_SECONDS_BETWEEN_LINES", 0.001)
    stream = io.StringIO()
    with open_console(log, stream) as console, getattr(console, kind)("building"):
        while stream.getvalue().count("building ... 0") < 3:
            time.sleep(0.001)
    said = stream.getvalue()
    assert without_stamps(log) == said
    time.sleep(0.01)
    assert stream.getvalue() == said, "it is over"


def test_a_wait_is_announced_and_its_end_is_not(terminal: Terminal):
    stream = io.StringIO()
    with open_console(None, stream).waiting("building"):
        pass
    assert stream.getvalue() == "building ...\n"
    with open_console(None, terminal).waiting("building"):
        pass
    assert "building" in terminal.getvalue()
