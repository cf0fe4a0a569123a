"""Program: writes what TensorFlow writes, for tests; TensorFlow is kept out of their process (see `models.tf`).

python tests/tensorflow_files.py module ARRAYS.npz FOLDER    variables; arrays `stack*` are constants of the graph
python tests/tensorflow_files.py frozen FILE [OPERATION]     red is cat, as DeepLab's frozen graphs answer
python tests/tensorflow_files.py odd FOLDER classifier|two|fails      no segmenters
python tests/tensorflow_files.py saved FOLDER                red is probably cat, as a SavedModel answers
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
CAT = 8  # of PASCAL VOC


def module(arrays: str, folder: str) -> None:
    """A module as TensorFlow 1 exports it."""
    with np.load(arrays) as file, tf.Graph().as_default(), v1.Session() as session:
        for name in file.files:
            if name.startswith("stack"):
                tf.stack([tf.constant(row) for row in file[name]], name=name)
            else:
                v1.get_variable(name.removesuffix(":0"), initializer=file[name], use_resource=False)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(folder)
        builder.add_meta_graph_and_variables(session, [])
        builder.save()


def frozen(file: str, operation: str = "") -> None:
    """A graph with DeepLab's names, and one operation more."""
    with tf.Graph().as_default() as graph:
        picture = v1.placeholder(tf.uint8, [1, None, None, 3], name="ImageTensor")
        if operation:
            tf.raw_ops.ReadFile(filename="nothing", name="other")
        red = tf.cast(picture[..., 0], tf.int64)
        tf.where(red > 128, tf.fill(tf.shape(red), tf.constant(CAT, tf.int64)), red * 0, name="SemanticPredictions")
        Path(file).write_bytes(graph.as_graph_def().SerializeToString())


class _Red(tf.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        self.sharpness = tf.Variable(20.0)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])  # type: ignore[untyped-decorator]
    def __call__(self, image: Any) -> Any:
        return self.sharpness * (image[..., :1] - 0.5) * tf.one_hot(CAT, 21)


def saved(folder: str) -> None:
    """A SavedModel with a variable, which answers with logarithms of probabilities."""
    network = _Red()
    tf.saved_model.save(network, folder, signatures=network.__call__)


class _Odd(tf.Module):  # type: ignore[misc]
    def __init__(self, kind: str) -> None:
        self.kind, self.one = kind, tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])  # type: ignore[untyped-decorator]
    def __call__(self, image: Any) -> Any:
        if self.kind == "classifier":
            return tf.reduce_mean(image) * tf.ones([1, 1001]) * self.one
        if self.kind == "two":
            return image[..., :2] * self.one
        size = tf.shape(image)[1]  # only pictures of 33 px can be answered
        return tf.reshape(image[..., 0], [1, 33, 33]) * self.one + tf.cast(size, tf.float32)


def odd(folder: str, kind: str) -> None:
    """SavedModels that are no segmenters, or fail."""
    network = _Odd(kind)
    tf.saved_model.save(network, folder, signatures=network.__call__)


if __name__ == "__main__":
    {"module": module, "frozen": frozen, "saved": saved, "odd": odd}[sys.argv[1]](*sys.argv[2:])
