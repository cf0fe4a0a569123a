"""One projection iteration of the original Chainer code per line of standard input: seconds on standard output.

Started by `peers.py` under a Python that has Chainer; the first argument is a clone of quolc/neural-collage.
"""

import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.abspath(sys.argv[1]))
import chainer
import chainer.functions as F
from dis_models.snresnet_256 import SNResNetProjectionDiscriminator
from gen_models.resnet_256 import ResNetGenerator
from source.functions import max_sv

# the original has these lengths only as a CUDA kernel
max_sv._l2normalize = lambda v, eps=1e-12: v / (np.sqrt((v * v).sum()) + eps)


def main() -> None:
    chainer.config.train = False
    np.random.seed(0)
    g = ResNetGenerator(ch=48, dim_z=128, bottom_width=4, n_classes=143)
    d = SNResNetProjectionDiscriminator(ch=48, n_classes=143)
    for link in g.links():
        if hasattr(link, "avg_var"):  # the conditional ones start at 0
            link.avg_var[...] = 1
    label = np.zeros(1, np.int32)
    target = chainer.links.Parameter(np.random.normal(size=(1, 128)).astype(np.float32))
    optimizer = chainer.optimizers.Adam(alpha=0.075)
    optimizer.setup(target)
    photo = np.random.uniform(-1, 1, (1, 3, 256, 256)).astype(np.float32)

    def iterate() -> None:  # one round of the loop of its optimization.py
        target.cleargrads()
        picture = g(z=target.W, y=label)
        ours, theirs = d.feature_vector(picture), d.feature_vector(photo)
        lengths = F.sqrt(F.batch_l2_norm_squared(ours) * F.batch_l2_norm_squared(theirs))
        loss = 0.2 * F.mean_squared_error(picture, photo) - F.sum(F.sum(ours * theirs, axis=1) / lengths)
        loss.backward()
        optimizer.update()

    iterate()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        iterate()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
