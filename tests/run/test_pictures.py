"""Pictures beside training: on real runs, and on a stand-in for the process that draws."""

import io
import time

import imageio_ffmpeg
import numpy as np
import pytest

from ksim_cli.io.runs import RunFolder
from ksim_cli.run import pictures
from ksim_cli.run.build import make_task_model
from ksim_cli.run.pictures import Pictures
from tests.helpers import tiny_cartpole
from tests.run.commands import LONG, course, ksim
from tests.run.test_evaluate import NOTHING, evaluator, random_policy
from tests.view.test_beside import first

PICTURES = (
    *(key for key in LONG if key != "valid_pictures=false"),
    *("valid_every_n_seconds=null", "terminations.time_limit.max_length_seconds=0.3"),
    *("render_width_small=64", "render_height_small=48", "render_width=96", "render_height=64"),
)


class Console:
    def __init__(self):
        self.said = []

    print = warn = lambda self, text: self.said.append(text)

    def waiting(self, text):
        return io.StringIO()


class Process:
    """Takes what it is offered, and answers when it is told to."""

    def __init__(self, header, model):
        self.header, self.model, self.jobs, self.ended = header, model, [], False
        self.said, self.busy = [], False
        started.append(self)

    def offer(self, header, payload):
        assert not self.busy
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            self.jobs.append((header, dict(arrays)))
        self.busy = True
        return True

    def done(self):
        header = self.jobs[-1][0]
        plots = [plot["path"] for plot in header["plots"]]
        self.said.append(
            {"iteration": header["iteration"], "videos": header["videos"], "plots": plots}
        )

    def answers(self):
        said, self.said = self.said, []
        self.busy &= not any("iteration" in each for each in said)
        return said

    def end(self):
        self.ended = True


started: list[Process] = []


@pytest.fixture(scope="module")
def played():
    typed = ("terminations.time_limit.max_length_seconds=0.3",)
    config = tiny_cartpole(*typed)
    film = evaluator(random_policy(1), 2, *typed, filmed=True)(NOTHING, 0).film
    return make_task_model(config), film


@pytest.fixture
def drawn(played, tmp_path, monkeypatch):
    """Makes pictures of a run, by its keys; the stand-in is `started[-1]`."""
    monkeypatch.setattr(pictures, "Beside", Process)
    monkeypatch.setattr(pictures, "_END_SECONDS", 0.2)
    started.clear()

    def make(*overrides, shown=lambda *drawn: None):
        console = Console()
        config = tiny_cartpole(*overrides)
        made = Pictures(config, RunFolder(tmp_path), console, ("render_fps",), shown)
        return made, console, lambda i: made.offer(i, played[1], played[0])

    return make


def test_what_comes_late_is_left_out_counted_and_said_at_the_end(drawn, played):
    made, console, offer = drawn()
    offer(10)
    (process,) = started
    for iteration in (20, 30):
        offer(iteration)
    assert [job["iteration"] for job, _ in process.jobs] == [10] and not console.said
    process.done()
    offer(40)
    made.finish(50, played[1], played[0])
    assert [job["iteration"] for job, _ in process.jobs] == [10, 40]
    assert process.ended and "pictures of 1 evaluation: " in console.said[0]
    assert "pictures of 4 evaluations were left out" in console.said[1]


@pytest.mark.parametrize(
    ("typed", "full"),
    [
        ((), [12]),
        (("render_full_every_n_steps=3",), [3, 6, 9, 12]),
        (("render_full_every_n_steps=null",), []),
        (("render_full_every_n_steps=null", "++render_full_every_n_seconds=1e-9"), range(1, 14)),
    ],
)
def test_each_so_many_are_at_the_full_size(drawn, typed, full):
    _, _, offer = drawn(*typed)
    for iteration in range(1, 14):
        offer(iteration)
        started[0].done()
    sizes = {job["iteration"]: job["small"] for job, _ in started[0].jobs}
    assert [i for i, small in sizes.items() if not small] == [*full]


def test_the_last_evaluation_is_drawn_large_where_others_were_drawn(drawn, played):
    made, console, offer = drawn()
    made.finish(5, played[1], played[0])
    assert not started and not console.said, "a short run pays nothing"
    offer(1)
    started[0].done()
    made.finish(5, played[1], played[0])
    assert [job["small"] for job, _ in started[0].jobs] == [True, False]


def test_what_cannot_be_drawn_is_said_once(drawn, played):
    made, console, offer = drawn()
    offer(1)
    started[0].said.append({"failed": "no OpenGL"})
    for iteration in range(2, 5):
        offer(iteration)
        made.collect()
    made.finish(5, played[1], played[0])
    assert console.said == ["no pictures while training: no OpenGL. Training goes on without them"]
    assert len(started) == 1 and started[0].ended


def test_nothing_is_started_where_none_are_wanted(drawn):
    made, _, offer = drawn("valid_pictures=false")
    offer(1)
    assert not started and not made.wanted


def test_the_process_gets_the_episode_as_it_is_to_be_shown(drawn, played):
    _, _, offer = drawn("render_fps=20", "render_length_seconds=0.2", "render_overlay=false")
    offer(3)
    header, arrays = started[0].jobs[0]
    assert header["videos"] == [str(header["videos"][0])] and header["videos"][0].endswith(
        "videos/valid-00000003.mp4"
    )
    assert (header["fps"], header["overlay"], header["markers"]) == (20, False, True)
    # 20 frames of each second, of which there are 100 steps; 0.2 s of them.
    assert arrays["step"].tolist() == [1, 6, 11, 16]
    np.testing.assert_array_equal(arrays["qpos"], played[1].frames.qpos[[0, 5, 10, 15]])
    assert started[0].header["keys"]["render_fps"] == 20
    assert started[0].header["typed"] == ["render_fps"]
    drawn("render_slowdown=2", "render_fps=50", "render_markers=false")[2](3)
    header, arrays = started[1].jobs[0]
    assert len(arrays["step"]) == 30 and not header["markers"]


def plots(drawn, *typed):
    drawn(*typed)[2](3)
    return {plot["title"]: plot for plot in started[-1].jobs[0][0]["plots"]}


def test_rewards_are_plotted_and_with_log_all_images_all_there_is(drawn):
    few, all_ = plots(drawn), plots(drawn, "log_all_images=true")
    assert [*few] == ["rewards", "reward"]
    assert few["rewards"]["names"] == ["total", "balance"] and few["reward"]["size"] == [8.0, 4.0]
    assert few["rewards"]["size"] == [12.0, 6.0]
    assert few["rewards"]["path"].endswith("plots/00000003/rewards.png")
    assert {*all_} == {*few, "observation-0", "observation-1", "action", "termination"}
    assert "actor/pole_angle[1]" in all_["observation-0"]["names"]


def test_plots_are_as_large_as_asked_with_so_many_curves(drawn):
    typed = ("log_all_images=true", "max_values_per_plot=3", "plot_figsize=[5,2]")
    made = plots(drawn, *typed, "all_rewards_plot_figsize_multiplier=2")
    assert max(len(plot["names"]) for title, plot in made.items() if "observation" in title) == 3
    assert made["action"]["size"] == [5, 2] and made["rewards"]["size"] == [10, 4]


def test_rewards_can_be_left_out_of_the_plot_of_all(drawn):
    _, console, offer = drawn("exclude_combined_reward_components=[balance,balanc]")
    offer(1)
    names = {plot["title"]: plot["names"] for plot in started[0].jobs[0][0]["plots"]}
    assert names == {"rewards": ["total"], "reward": ["balance"]}
    assert len(console.said) == 1 and "Did you mean 'balance'" in console.said[0]


def test_loggers_are_told_of_what_was_drawn(drawn):
    told = []
    made, _, offer = drawn("logger.tensorboard=true", shown=lambda *each: told.append(each))
    offer(3)
    started[0].done()
    made.collect()
    ((iteration, videos, files),) = told
    assert iteration == 3 and [path.suffix for path in videos] == [".mp4", ".gif"]
    assert [path.name for path in files] == ["rewards.png", "reward.png"]


@pytest.mark.slow
@pytest.mark.usefixtures("opengl")
def test_a_run_with_pictures_learns_as_one_without(tmp_path):
    common = (*PICTURES, "num_iterations=6", "valid_first_n_steps=1", "valid_every_n_steps=2")
    done = ksim("train", *common, "run_dir=with", cwd=tmp_path, check=0)
    ksim("train", *common, "valid_pictures=false", "run_dir=without", cwd=tmp_path, check=0)
    assert course(tmp_path / "with") == course(tmp_path / "without")
    videos = sorted((tmp_path / "with" / "videos").iterdir())
    assert "pictures of" in done.stdout and [each.suffix for each in videos] == [".mp4"] * len(
        videos
    )
    assert videos[-1].name == "valid-00000006.mp4"
    first(videos[0], 48, 64), first(videos[-1], 64, 96)  # the last at the full size
    assert imageio_ffmpeg.count_frames_and_secs(str(videos[0]))[0] == 9  # 0.3 s, 30 frames/s
    assert (tmp_path / "with" / "plots" / "00000006" / "rewards.png").is_file()
    assert not (tmp_path / "without" / "videos").exists()


@pytest.mark.slow
def test_a_run_without_opengl_says_so_once_and_trains(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    typed = (*PICTURES, "valid_every_n_steps=1", "run_dir=run", "num_iterations=3")
    monkeypatch.setattr(Pictures, "offer", waiting(Pictures.offer))
    done = ksim("train", *typed, cwd=tmp_path, check=0)
    assert done.stdout.count("no pictures while training: no OpenGL") == 1
    assert len(course(tmp_path / "run")) == 3


def waiting(offer):
    """As training goes on long enough for an answer to come."""

    def call(self, *given):
        offer(self, *given)
        deadline = time.monotonic() + 60
        while self.wanted and time.monotonic() < deadline:
            time.sleep(0.05)
            self.collect()

    return call
