import numpy as np
import pytest

from ksim_cli.view.overlay import caption, write_overlay


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize(("height", "width"), [(240, 320), (480, 640), (16, 16)])
def test_words_are_readable_on_anything_and_the_rest_stays(grey, height, width):
    frame = np.full((height, width, 3), grey, np.uint8)
    written = write_overlay(frame, caption(7, 0.14, 0.5))
    changed = (written != frame).any(axis=2)
    assert written.shape == frame.shape and (frame == grey).all()
    assert {0, 255} <= set(np.unique(written)), "white on black can be read on anything"
    assert not changed[height // 4 + 14 :].any(), "it stays in its corner"


def test_the_caption_says_frame_time_and_reward():
    assert caption(7, 0.14, -1.25).split() == ["frame", "7", "0.14", "s", "reward", "-1.250"]
