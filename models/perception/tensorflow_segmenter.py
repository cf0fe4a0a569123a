"""Segmentation networks of TensorFlow, such as the DeepLab v3 Xception of the collaging paper: the extra [tfhub].

The graph runs in a process of its own (see `models.tf`), which ends with this one.
"""

import contextlib
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import PhotograftError
from models.layers.resampling import resize_pixels
from models.tf.process import check_installed, command, environment, failure, handle_of

ANIMALS = {  # labels of datasets
    "tensorflow": (3, 8, 10, 12, 13, 17),  # PASCAL VOC: bird, cat, cow, dog, horse, sheep
    "tensorflow-coco": (16, 17, 18, 19, 20, 21, 22, 23, 24, 25),  # COCO: bird to giraffe
}
SIDE = 513  # px, of the longer side, as the authors show photos to it


class TensorFlowSegmenter:
    """A frozen graph or SavedModel as a segmenter, see `models.perception.segmentation.Segmenter`.

    Args:
        path: the graph's file, the SavedModel's folder, or its address on TensorFlow Hub.
        labels: "tensorflow" for labels of PASCAL VOC, "tensorflow-coco" for those of COCO.

    Raises:
        PhotograftError: the extra is not installed, or the file cannot be used.
    """

    def __init__(self, path: Path, labels: str = "tensorflow") -> None:
        handle = handle_of(path)
        if handle is None and not path.exists():
            raise PhotograftError(f"segmentation graph not found: {path}")
        check_installed(f"{path} is a graph of TensorFlow")
        self.path, self.animals = path, ANIMALS[labels]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        self._process = subprocess.Popen(
            command("segment", handle or str(path)),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        weakref.finalize(self, _end, self._process, self._errors)
        if self._line() != b"ready\n":
            raise self._failure()

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Photo, uint8 RGB [H,W,3] -> probability of being an animal, float32 [H,W] in [0,1]."""
        height, width = pixels.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        small = resize_pixels(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
        answer = self._asked(np.ascontiguousarray(small))
        if answer.ndim == 2:
            animal = np.isin(answer, self.animals).astype(np.float32)
        elif answer.shape[2] > max(self.animals):
            animal = answer[..., list(self.animals)].sum(-1).astype(np.float32)
        else:
            raise PhotograftError(f"{self.path} knows {answer.shape[2]} classes: its labels are others than these")
        return np.clip(cv2.resize(animal, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)

    def _asked(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(f"{pixels.shape[0]} {pixels.shape[1]}\n".encode() + pixels.tobytes())
            self._process.stdin.flush()
        except OSError:
            raise self._failure() from None
        dtype, *shape = self._line().decode().split() or [""]
        if not shape:
            raise self._failure()
        sizes, kind = tuple(map(int, shape)), np.dtype(dtype)
        wanted = int(np.prod(sizes)) * kind.itemsize
        content = self._process.stdout.read(wanted)
        if len(content) < wanted:
            raise self._failure()
        return np.frombuffer(content, kind).reshape(sizes)

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _failure(self) -> PhotograftError:
        code = self._process.wait()
        self._errors.seek(0)
        return failure(code, self._errors.read())


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout, errors):
        if stream is not None:
            with contextlib.suppress(OSError):  # the program's end of a pipe is closed
                stream.close()
    process.wait()
