"""Pictures one after another, there and back again: GIF by Pillow, MP4 by ffmpeg (extra `video`), else by OpenCV.

ffmpeg writes H.264, which browsers play; OpenCV's wheels write MPEG-4 part 2, which they do not.
"""

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
_H264 = ["-crf", "20", "-threads", "1", "-movflags", "+faststart", "-fflags", "+bitexact", "-flags:v", "+bitexact"]


def reduced(frame: Pixels, longest: int = LONGEST) -> Pixels:
    """A picture with sides of `longest` px at most."""
    height, width = frame.shape[:2]
    scale = min(1.0, longest / max(height, width))
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
    """Writes the same as MP4: H.264 with the extra `video`, else what this OpenCV can; None where it cannot."""
    shown, rate = [_even(frame) for frame in there_and_back(frames)], 1000 / duration(len(frames))
    content = _by_ffmpeg(shown, rate) or _encoded(shown, rate)
    return None if content is None else lambda stream: stream.write(content)


def _by_ffmpeg(frames: Sequence[Pixels], rate: float) -> bytes | None:
    """H.264 by imageio's ffmpeg, the same bytes each time; None where the extra `video` is not installed."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return None
    import imageio

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.mp4"
        video: Any = imageio.get_writer(
            path,
            format="FFMPEG",
            fps=rate,
            codec="libx264",
            quality=None,
            pixelformat="yuv420p",
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=_H264,
        )
        with video:
            for frame in frames:
                video.append_data(frame)
        return path.read_bytes()


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
