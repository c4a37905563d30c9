import sys
import threading
import time
import types
from pathlib import Path

import pytest
from PIL import Image

from ksim_cli.errors import UserError
from ksim_cli.io import loggers
from ksim_cli.io.loggers import Loggers, Media, open_loggers


class Fake:
    """A sink that remembers its rows, and does as it is told from its `at`-th row on."""

    def __init__(self, at: int = 10**9, do=lambda: None, on_close=lambda: None) -> None:
        self.rows: list[dict] = []
        self.at, self.do, self.on_close = at, do, on_close
        self.closed = 0

    def log(self, row: dict) -> None:
        if len(self.rows) >= self.at:
            self.do()
        self.rows.append(row)
        row["touched"] = True  # must reach neither the other sinks nor the caller

    def close(self) -> None:
        self.closed += 1
        self.on_close()


class Leave(BaseException):
    pass


def raising(error: BaseException):
    def act():
        raise error

    return act


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def hanging():
    """Something that hangs until the test is over."""
    over = threading.Event()
    yield over.wait  # who waited for it would wait for good
    over.set()


ERRORS = [ConnectionError("down"), SystemExit("down"), KeyboardInterrupt("down"), Leave("down")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_sink_that_raises_is_named_once_and_left_out(error):
    warnings: list[str] = []
    bad, good = Fake(2, raising(error)), Fake()
    sinks = Loggers({"bad": lambda: bad, "good": lambda: good}, warnings.append)
    row = {"iteration": 0, "x": float("nan")}
    for _ in range(3):
        sinks.log(row)
    until(lambda: sinks._workers["bad"].ended.is_set())
    for _ in range(97):
        sinks.log(row)
    assert sinks.names == ["good"]
    sinks.close()
    assert len(warnings) == 1
    assert (
        f"logger bad failed and is left out from now on ({type(error).__name__}: down)"
        in warnings[0]
    )
    assert (len(bad.rows), len(good.rows)) == (2, 100)
    assert good.rows[0] == {"iteration": 0, "x": None, "touched": True}
    assert row.keys() == {"iteration", "x"}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_sink_that_raises_at_its_end_is_named(error):
    warnings: list[str] = []
    bad, good = Fake(on_close=raising(error)), Fake()
    sinks = Loggers({"bad": lambda: bad, "good": lambda: good}, warnings.append)
    sinks.close()
    sinks.close()
    assert (bad.closed, good.closed, len(warnings)) == (1, 1, 1)


@pytest.mark.parametrize("limit", ["_CALL_SECONDS", "_MOST_ROWS"])
def test_a_sink_that_hangs_is_left_out_and_nothing_waits_for_it(monkeypatch, hanging, limit):
    monkeypatch.setattr(loggers, limit, 0.05 if limit == "_CALL_SECONDS" else 5)
    warnings: list[str] = []
    bad, good = Fake(0, hanging), Fake()
    sinks = Loggers({"bad": lambda: bad, "good": lambda: good}, warnings.append)

    def drop() -> bool:
        sinks.log({"iteration": 0})
        until(lambda: sinks._workers["good"]._rows.empty())
        return sinks.names == ["good"]

    until(drop)
    assert len(warnings) == 1
    assert ("no answer for" if limit == "_CALL_SECONDS" else "rows wait for it") in warnings[0]
    sinks.close()
    assert len(warnings) == 1 and good.closed == 1


@pytest.mark.parametrize("limit", ["_END_SECONDS", "_STOPPED_SECONDS"])
def test_a_sink_that_hangs_at_its_end_is_left(monkeypatch, hanging, limit):
    monkeypatch.setattr(loggers, limit, 0.05)
    warnings: list[str] = []
    sinks = Loggers({"wandb": lambda: Fake(on_close=hanging)}, warnings.append)
    asked = []
    # Of a run that is stopped while it waits.
    sinks.close(lambda: asked.append(1) or (limit == "_STOPPED_SECONDS" and len(asked) > 3))
    (warning,) = warnings
    assert "after the end" in warning and "wandb sync" in warning and not sinks.names


def test_a_sink_that_takes_its_time_at_its_end_has_it(monkeypatch):
    monkeypatch.setattr(loggers, "_STOPPED_SECONDS", 0.01)
    slow = Fake(on_close=lambda: time.sleep(0.5))
    Loggers({"slow": lambda: slow}, pytest.fail).close()
    assert slow.closed == 1


def test_an_unknown_logger_names_the_nearest(tmp_path: Path):
    with pytest.raises(UserError, match="Did you mean 'wandb'"):
        open_loggers(["wandbb"], tmp_path, {}, 0, pytest.fail)
    assert open_loggers([], tmp_path, {}, 0, pytest.fail).names == []


@pytest.mark.parametrize(("name", "module"), [("wandb", "wandb"), ("tensorboard", "tensorboardX")])
def test_a_missing_package_says_what_to_install(
    tmp_path: Path, monkeypatch, name: str, module: str
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"pip install 'ksim\[{name}\]'"):
        open_loggers([name], tmp_path, {}, 0, pytest.fail)


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, Leave])
def test_a_sink_that_cannot_start_is_the_users_to_mend(tmp_path: Path, monkeypatch, error):
    monkeypatch.setattr(loggers, "_SINKS", {"wandb": lambda _: raising(error("no API key"))()})
    with pytest.raises(UserError, match=r"logger\.wandb cannot start: no API key"):
        open_loggers(["wandb"], tmp_path, {}, 0, pytest.fail)


def test_a_sink_that_hangs_while_it_starts_is_told(tmp_path: Path, monkeypatch, hanging):
    monkeypatch.setattr(loggers, "_START_SECONDS", 0.05)
    monkeypatch.setattr(loggers, "_SINKS", {"wandb": lambda _: hanging()})
    with pytest.raises(UserError, match=r"cannot start: no answer"):
        open_loggers(["wandb"], tmp_path, {}, 0, pytest.fail)


def test_wandb_gets_project_config_rows_and_the_same_id_again(tmp_path: Path, monkeypatch):
    calls: list[tuple] = []
    run = types.SimpleNamespace(
        log=lambda row, step: calls.append((row, step)), finish=lambda: calls.append("finish")
    )
    module = types.SimpleNamespace(init=lambda **given: (calls.append(given), run)[1])
    monkeypatch.setitem(sys.modules, "wandb", module)
    config = {"seed": 1, "logger": {"wandb_project": "robots"}}
    for _ in range(2):
        sinks = open_loggers(["wandb"], tmp_path, config, 0, pytest.fail)
        sinks.log({"iteration": 3, "return": 1.0, "loss": float("nan")})
        sinks.close()
    first, row, end, second, *_ = calls
    assert (first["project"], first["config"], first["resume"]) == ("robots", config, "allow")
    assert first["id"] == second["id"]
    assert row == ({"iteration": 3, "return": 1.0}, 3)
    assert end == "finish"


def test_wandb_is_not_sent_again_what_it_has(tmp_path: Path, monkeypatch):
    """Killed at 6, resumed from the checkpoint at 3: its history can only grow."""
    steps: list[int] = []
    run = types.SimpleNamespace(
        log=lambda row, step: steps.append(step), finish=lambda: None, starting_step=7
    )
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **_: run))
    sinks = open_loggers(["wandb"], tmp_path, {}, 3, pytest.fail)
    for iteration in range(4, 10):
        sinks.log({"iteration": iteration})
    sinks.close()
    assert steps == [7, 8, 9]


@pytest.fixture
def media(tmp_path):
    """A video in both forms and a plot, of iteration 4."""
    files = {name: tmp_path / name for name in ("v.gif", "rewards.png", "v.mp4")}
    for name, path in files.items():
        if name == "v.mp4":
            path.write_bytes(b"mp4")
        else:
            Image.new("RGB", (7, 5), "red").save(path)
    return Media(4, (files["v.mp4"], files["v.gif"]), (files["rewards.png"],))


def test_wandb_gets_pictures_beside_the_newest_row(tmp_path: Path, monkeypatch, media):
    calls: list[tuple] = []
    run = types.SimpleNamespace(
        log=lambda row, step: calls.append((row, step)), finish=lambda: None
    )
    module = types.SimpleNamespace(
        init=lambda **_: run,
        Video=lambda path, format: ("video", Path(path).name, format),
        Image=lambda path: ("image", Path(path).name),
    )
    monkeypatch.setitem(sys.modules, "wandb", module)
    sinks = open_loggers(["wandb"], tmp_path, {}, 0, pytest.fail)
    sinks.log({"iteration": 6})
    sinks.show(media)
    sinks.close()
    shown = {
        "pictures_iteration": 4,
        "video": ("video", "v.mp4", "mp4"),
        "plots/rewards": ("image", "rewards.png"),
    }
    assert calls[1] == (shown, 6)


def test_tensorboard_gets_pictures_and_the_whole_configuration(tmp_path: Path, media):
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    sinks = open_loggers(["tensorboard"], tmp_path, {"algo": {"lam": 0.9}}, 0, pytest.fail)
    sinks.show(media)
    sinks.close()
    events = events_of(tmp_path / "tensorboard")
    values = {value.tag: (event.step, value) for event in events for value in event.summary.value}
    step, video = values["video"]
    assert step == 4 and video.image.encoded_image_string == media.videos[1].read_bytes()
    assert (video.image.width, video.image.height) == (7, 5)
    assert values["plots/rewards"][1].image.encoded_image_string == media.plots[0].read_bytes()
    (text,) = (value for tag, (_, value) in values.items() if tag.startswith("config"))
    assert b'"lam": 0.9' in text.tensor.string_val[0]


def test_a_sink_that_fails_over_pictures_is_left_out(media):
    warnings: list[str] = []
    bad, good = Fake(), Fake()
    good.shown = []
    good.show = good.shown.append
    sinks = Loggers({"bad": lambda: bad, "good": lambda: good}, warnings.append)
    bad.show = lambda media: raising(OSError("gone"))()
    sinks.show(media)
    until(lambda: sinks._workers["bad"].ended.is_set())
    sinks.log({"iteration": 1})
    sinks.close()
    assert len(warnings) == 1 and "OSError: gone" in warnings[0] and good.shown == [media]


def events_of(folder: Path) -> list:
    """The events of TensorBoard's files."""
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for path in folder.iterdir():
        data = path.read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            events.append(Event.FromString(data[12 : 12 + size]))
            data = data[12 + size + 4 :]
    return events


def shown_by_tensorboard(folder: Path) -> list[tuple[int, float]]:
    """Points of `return` as TensorBoard shows them: a new start takes back what is after it."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    points: list[tuple[int, float]] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + size])
            data = data[12 + size + 4 :]
            if event.session_log.status == SessionLog.START:
                points = [point for point in points if point[0] < event.step]
            points += [
                (event.step, each.simple_value)
                for each in event.summary.value
                if each.tag == "return"
            ]
    return points


def test_tensorboard_shows_one_course_of_a_run_that_was_killed_and_resumed(tmp_path: Path):
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    killed = open_loggers(["tensorboard"], tmp_path, {}, 0, pytest.fail)
    for iteration in range(1, 7):
        killed.log({"iteration": iteration, "return": 1.0, "task": "t", "loss": None})
    until(lambda: len(shown_by_tensorboard(tmp_path / "tensorboard")) == 6)  # and never closed
    resumed = open_loggers(["tensorboard"], tmp_path, {}, 3, pytest.fail)
    for iteration in range(4, 10):
        resumed.log({"iteration": iteration, "return": 2.0})
    resumed.close()
    points = shown_by_tensorboard(tmp_path / "tensorboard")
    assert points == [(i, 1.0 if i < 4 else 2.0) for i in range(1, 10)]
    killed.close()
