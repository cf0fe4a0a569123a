"""Colours as people see their distances."""

import cv2
import numpy as np
from numpy.typing import NDArray


def lab_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:  # [h,w,3] -> [h,w,3]
    """CIELAB (D65) of sRGB: L in 0..100, a and b within about ±128."""
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
