"""The pictures of docs/media: `python -m docs.gallery [name ...]`, from the checkout.

Needs the extra `dev`, Chromium and tmux, and for the window Xvfb and ffmpeg. Trains a small
quadruped first, for a minute or two, in a folder of its own.
"""

import contextlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import rich.console
from PIL import Image
from rich.text import Text

from tests.browser import browser

MEDIA = Path(__file__).parent / "media"
COLUMNS = 110
TASK = ("task=quadruped", "num_envs=256", "batch_size=64", "max_env_steps=3000000")


def ksim(*arguments: str) -> list[str]:
    """The command line of a command."""
    return [sys.executable, "-u", "-m", "ksim_cli", *arguments]


def trained(folder: Path) -> Path:
    """A run that is trained, once."""
    run = folder / "run"
    if not (run / "summary.json").exists():
        keys = ("valid_every_n_seconds=30", f"run_dir={run}")
        subprocess.run(ksim("train", *TASK, *keys), cwd=folder, check=True)
    return run


@contextlib.contextmanager
def viewing(folder: Path, kind: str, *keys: str, **environment: str) -> Iterator[str]:
    """A viewer of the run; gives the address of its page."""
    command = ksim("view", f"viewer={kind}", *keys)
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        yield "" if kind == "window" else next(x.split()[1] for x in lines if "http://" in x)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def page(folder: Path, path: Path) -> None:
    """The page of `ksim view viewer=web`."""
    keys = (f"checkpoint={trained(folder)}", "render_azimuth=120", "render_elevation=-20")
    with viewing(folder, "web", *keys) as url, browser() as tab:
        tab.go(url)
        time.sleep(60)  # without a graphics card pictures come slowly
        tab.picture(path)


def window(folder: Path, path: Path) -> None:
    """The window of `ksim view viewer=window`, on a display that nobody sees."""
    screen = subprocess.Popen(["Xvfb", ":87", "-screen", "0", "1200x760x24"])
    try:
        time.sleep(2)
        keys = (f"checkpoint={trained(folder)}",)
        display = {"DISPLAY": ":87", "LIBGL_ALWAYS_SOFTWARE": "1"}
        with viewing(folder, "window", *keys, **display):
            time.sleep(40)
            grab = ("-f", "x11grab", "-video_size", "1200x760", "-i", ":87", "-frames:v", "1")
            command = ["ffmpeg", "-y", "-loglevel", "error", *grab, str(path)]
            subprocess.run(command, check=True)
    finally:
        screen.terminate()
        screen.wait()


def report(folder: Path, path: Path) -> None:
    """The head of `ksim report`."""
    out = folder / "report.html"
    run = trained(folder).relative_to(folder)
    subprocess.run(ksim("report", str(run), f"out={out}"), cwd=folder, check=True)
    with browser() as tab:
        tab.go(out.as_uri())
        time.sleep(3)
        tab.picture(path)


def dashboard(folder: Path, path: Path) -> None:
    """What a terminal shows while `ksim train` runs."""
    tmux = ("tmux", "-L", "gallery")
    command = shlex.join(ksim("train", *TASK, "valid_every_n_seconds=20"))
    size = ("-x", str(COLUMNS), "-y", "32")
    subprocess.run([*tmux, "new-session", "-d", *size, "-c", str(folder), command], check=True)
    try:
        time.sleep(75)
        pane = [*tmux, "capture-pane", "-e", "-p"]
        shown = subprocess.run(pane, check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    with open(os.devnull, "w") as nothing:
        console = rich.console.Console(record=True, width=COLUMNS, file=nothing)
        console.print(Text.from_ansi(shown.rstrip()))
        drawing = folder / "dashboard.svg"
        drawing.write_text(console.export_svg(title="ksim train task=quadruped"))
    with browser() as tab:
        tab.go(drawing.as_uri())
        time.sleep(2)
        tab.picture(path)


def stranger(folder: Path, path: Path) -> None:
    """A robot that ksim has never seen: Google's Barkour, as MuJoCo's own tests have it."""
    spec = importlib.util.find_spec("mujoco")
    assert spec is not None and spec.origin is not None
    data = Path(spec.origin).parent / "mjx" / "test_data" / "barkour_v0" / "assets"
    keys = ("policy=zero", "viewer=video", "viewer_num_seconds=0.06", "viewer_save_renders=true")
    model = shutil.copytree(data, folder / "barkour", dirs_exist_ok=True) / "barkour_v0_mjx.xml"
    command = ksim("view", "task=model", f"task.model={model}", *keys, "render_elevation=-20")
    subprocess.run(command, cwd=folder, check=True)
    frames = sorted(folder.glob("runs/**/*.png"))
    Image.open(frames[-1]).save(path)


PICTURES: dict[str, Callable[[Path, Path], None]] = {
    each.__name__: each for each in (dashboard, page, window, report, stranger)
}


def main(names: list[str]) -> None:
    """Makes the pictures of these names, or all."""
    folder = Path(os.environ.get("KSIM_GALLERY") or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    MEDIA.mkdir(exist_ok=True)
    for name in names or PICTURES:
        drawn, path = folder / f"{name}.png", MEDIA / f"{name}.jpg"
        PICTURES[name](folder, drawn)
        Image.open(drawn).convert("RGB").save(path, quality=88, optimize=True)
        print(f"{path}: {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
