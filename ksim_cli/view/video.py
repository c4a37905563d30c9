"""Pictures and videos. Needs OpenGL; training never does."""

import importlib
import os
import secrets
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import mujoco
import numpy as np

from ksim_cli.config.schema import RenderKeys
from ksim_cli.errors import UserError
from ksim_cli.io.files import make_folder, open_own
from ksim_cli.io.gl import NO_GL
from ksim_cli.physics.mujoco_engine import silence_log
from ksim_cli.view.markers import Markers, draw_ground, draw_markers
from ksim_cli.view.scene import Camera, ground

_FINE = (4096, 4)
"""Size of MuJoCo's shadow map and samples per pixel, where a model says nothing."""

_COARSE = (1024, 0)
"""The same where there is no graphics card: a picture takes a third of the time."""

_QUADS = 40
"""Pieces that a plane is drawn in along each side, at least. Light is worked out at their corners:
with MuJoCo's 4 a floor is dark under a robot whose own lamp shines between them."""


class Recorder:
    """Renders states of a model.

    Args:
        model: the model, as `ksim_cli.view.scene.drawable` gives it.
        keys: the `render_*` keys.
        camera: where from; None: where the keys say.
        small: at the small size, and without shadows unless they are asked for.

    Raises:
        UserError: no OpenGL, no such camera or body.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        keys: RenderKeys,
        camera: Camera | None = None,
        small: bool = False,
    ) -> None:
        silence_log()
        self._model = model
        self._data = mujoco.MjData(model)
        self._camera = Camera(model, keys) if camera is None else camera
        self._ground = ground(model)
        self._options = mujoco.MjvOption()
        shown = self._options.flags
        shown[mujoco.mjtVisFlag.mjVIS_CONTACTFORCE] = keys.render_contact_force
        shown[mujoco.mjtVisFlag.mjVIS_CONTACTPOINT] = keys.render_contact_point
        shown[mujoco.mjtVisFlag.mjVIS_INERTIA] = keys.render_inertia
        height, width = keys.render_height, keys.render_width
        if small:
            height, width = keys.render_height_small, keys.render_width_small
        # A model's off-screen buffer is 640 x 480 unless its MJCF says otherwise.
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        try:
            quality = model.vis.quality
            quality.numquads = max(quality.numquads, _QUADS)
            if (quality.shadowsize, quality.offsamples) == _FINE and _renders_in_software():
                quality.shadowsize, quality.offsamples = _COARSE
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:  # which error depends on the back end
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(NO_GL.format(reason=f" ({reason[:120]})")) from error
        flags = self._renderer.scene.flags
        shadow = not small if keys.render_shadow is None else keys.render_shadow
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadow
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = keys.render_reflection

    def frame(
        self, qpos: np.ndarray, qvel: np.ndarray, markers: Markers | None = None
    ) -> np.ndarray:
        """A picture `[H, W, 3]` uint8 of a state.

        Args:
            qpos: `[nq]`.
            qvel: `[nv]`.
            markers: what to draw beside the model, of one frame.
        """
        self._data.qpos[:] = qpos
        self._data.qvel[:] = qvel
        mujoco.mj_forward(self._model, self._data)
        self._camera.follow(self._data)
        self._renderer.update_scene(self._data, self._camera.view, self._options)
        if self._ground is not None:
            draw_ground(self._renderer.scene, self._model, self._ground)
        if markers is not None:
            draw_markers(self._renderer.scene, markers)
        return self._renderer.render().copy()

    def close(self) -> None:
        """Give the graphics memory back."""
        self._renderer.close()


def _renders_in_software() -> bool:
    context = mujoco.GLContext(8, 8)
    context.make_current()
    # Not at the top: which library it loads is decided by MuJoCo's choice of a context.
    library = importlib.import_module("OpenGL.GL")
    name = bytes(library.glGetString(library.GL_RENDERER) or b"").lower()
    context.free()
    return any(each in name for each in (b"llvmpipe", b"softpipe", b"swrast", b"software"))


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int) -> int:
    """Writes a video, whole or not at all.

    Args:
        path: ends in `.mp4` or `.gif`.
        frames: at least one picture `[H, W, 3]` uint8, all of one size; taken one by one.
        fps: frames per second; a GIF shows at most 50.

    Returns:
        How many frames there were.

    Raises:
        UserError: the encoder failed.
    """
    write = _write_gif if path.suffix == ".gif" else _write_mp4
    unfinished = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        count = write(unfinished, frames, fps)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _write_mp4(path: Path, frames: Iterable[np.ndarray], fps: int) -> int:
    import imageio_ffmpeg

    writer, count, height, width = None, 0, 0, 0
    try:
        for frame in frames:
            if writer is None:
                # H.264 in its common form wants even sizes.
                height, width = (size - size % 2 for size in frame.shape[:2])
                writer = imageio_ffmpeg.write_frames(
                    str(path),
                    (width, height),
                    fps=fps,
                    macro_block_size=2,
                    codec="libx264",
                    ffmpeg_log_level="error",
                )
                with warnings.catch_warnings():
                    # JAX warns of every fork; the encoder's process replaces itself at once.
                    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
                    writer.send(None)
            writer.send(np.ascontiguousarray(frame[:height, :width]))
            count += 1
    except OSError as error:
        raise UserError(f"{path}: the video encoder failed: {error}") from error
    finally:
        if writer is not None:
            writer.close()
    return count


def _write_gif(path: Path, frames: Iterable[np.ndarray], fps: int) -> int:
    from PIL import Image

    frames = list(frames)
    # Most viewers show nothing for under two hundredths of a second, in which GIF counts.
    every = max(1, -(-fps // 50))
    pictures = [
        Image.fromarray(frame).quantize(128, dither=Image.Dither.NONE) for frame in frames[::every]
    ]
    # The running time is rounded, not each duration: of 30 a second each would lose a tenth.
    starts = [round(100 * i / fps) for i in range(0, len(frames), every)]
    ends = [*starts[1:], round(100 * len(frames) / fps)]
    durations = [10 * max(2, end - start) for start, end in zip(starts, ends, strict=True)]
    pictures[0].save(
        path,
        format="gif",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        optimize=True,
    )
    return len(frames)


def write_frames(folder: Path, frames: Sequence[np.ndarray]) -> None:
    """Writes every picture as `<folder>/<number>.png`."""
    from PIL import Image

    make_folder(folder)
    for i, frame in enumerate(frames):
        with open_own(folder / f"{i:05d}.png", "wb") as file:
            Image.fromarray(frame).save(file, "png")
