"""Words on a picture: small, readable on anything, in a corner where little happens."""

import functools
from typing import Any

import numpy as np

_LINES = 20
"""Lines of text that would fill a picture's height."""


def write_overlay(frame: np.ndarray, text: str) -> np.ndarray:
    """A copy of a picture with a line of text in its upper left corner.

    Args:
        frame: `[H, W, 3]` uint8.
        text: one line; what does not fit is cut off.
    """
    from PIL import Image, ImageDraw

    picture = Image.fromarray(frame)
    size = max(11, frame.shape[0] // _LINES)
    margin = size // 2
    ImageDraw.Draw(picture).text(
        (margin, margin),
        text,
        font=_font(size),
        fill=(255, 255, 255),
        stroke_width=max(1, size // 10),
        stroke_fill=(0, 0, 0),
    )
    return np.asarray(picture)


def caption(number: int, seconds: float, reward: float) -> str:
    """Frame, time and reward, each of a steady width so that nothing jumps."""
    return f"frame {number:4d}   {seconds:6.2f} s   reward {reward:+8.3f}"


@functools.cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
