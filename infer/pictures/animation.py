"""Pictures one after another, there and back again: GIF by Pillow, MP4 where OpenCV can write it."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from infer.photo.photo import Pixels
from models.layers.resampling import resize_pixels
from models.writing import Writer

LONGEST = 640  # px, of an animation
_WHOLE = 2000.0  # ms that the way there takes, as far as the next two let it
_SHORTEST, _LONGEST = 60, 600  # ms that a picture is shown
_CODEC = "mp4v"  # MPEG-4 part 2: the one that OpenCV's wheels encode without another library


def reduced(frame: Pixels) -> Pixels:
    """A picture with sides of `LONGEST` px at most."""
    height, width = frame.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return resize_pixels(frame, *size) if scale < 1 else frame.copy()


def there_and_back(frames: Sequence[Pixels]) -> list[Pixels]:
    """Frames in their order and back to the second one: they can be repeated."""
    return [*frames, *frames[-2:0:-1]]


def duration(count: int) -> int:
    """Milliseconds for each of `count` frames on the way there, a multiple of ten as GIF counts."""
    return round(min(max(_WHOLE / max(count, 1), _SHORTEST), _LONGEST) / 10) * 10


def gif(frames: Sequence[Pixels]) -> Writer:
    """Writes frames uint8 [H,W,3] of one size, see `reduced`, there and back, without end."""
    shown = [Image.fromarray(frame) for frame in there_and_back(frames)]
    each = duration(len(frames))
    return lambda stream: shown[0].save(
        stream, "GIF", save_all=True, append_images=shown[1:], duration=each, loop=0, optimize=False
    )


def mp4(frames: Sequence[Pixels]) -> Writer | None:
    """Writes the same as MP4; None where this OpenCV cannot."""
    shown = [_even(frame) for frame in there_and_back(frames)]
    content = _encoded(shown, 1000 / duration(len(frames)))
    return None if content is None else lambda stream: stream.write(content)


def _even(frame: Pixels) -> Pixels:
    """With sides that the codec takes."""
    pad = [(0, side % 2) for side in frame.shape[:2]]
    return np.pad(frame, [*pad, (0, 0)], mode="edge")


def _encoded(frames: Sequence[Pixels], rate: float) -> bytes | None:
    """OpenCV writes to a path alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.mp4"
        height, width = frames[0].shape[:2]
        fourcc = cv2.VideoWriter_fourcc(*_CODEC)  # type: ignore[attr-defined]
        video = cv2.VideoWriter(os.fspath(path), cv2.CAP_FFMPEG, fourcc, rate, (width, height))
        if not video.isOpened():
            return None
        for frame in frames:
            video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        video.release()
        return path.read_bytes() if path.is_file() and path.stat().st_size else None
