"""A training step as one CUDA graph: recorded once, then replayed, so that the host launches one thing per step.

A step of small networks is thousands of small kernels, and launching them takes the host longer than running them takes
the GPU (measured on an H100: 235 ms a step on the host, 108 ms of work).
"""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

WARM_UP = 3  # ordinary steps first: libraries choose their kernels and optimisers make their state in them

Step = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""A step on pictures [N,3,R,R] and classes [N], and what it reports."""


class StepGraphs:
    """Replays a step that is the same for ever; one graph for each kind of step.

    What is recorded must not read a value back, copy from the host, or decide by anything but its kind. Random numbers
    go on from replay to replay.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._warm: dict[Hashable, int] = {}
        self._recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor, Tensor, dict[str, Tensor]]] = {}

    def __call__(self, kind: Hashable, step: Step, pictures: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Take a step.

        Args:
            kind: of the step; its batch size and whatever it decides by.
            step: what is done.
            pictures, label: of this batch.

        Returns:
            What the step reports; overwritten by the next step of its kind.
        """
        if self._warm.setdefault(kind, 0) < WARM_UP:
            self._warm[kind] += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                report = step(pictures, label)
            torch.cuda.current_stream().wait_stream(self._stream)
            return report
        if kind not in self._recorded:
            graph, pictures_in, label_in = torch.cuda.CUDAGraph(), pictures.clone(), label.clone()
            # casts must be made anew at every replay: weights have changed
            dtype, enabled = torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("cuda")
            casts = torch.autocast("cuda", dtype=dtype, enabled=enabled, cache_enabled=False)
            with torch.cuda.graph(graph, stream=self._stream), casts:
                report = step(pictures_in, label_in)
            self._recorded[kind] = graph, pictures_in, label_in, report
        graph, pictures_in, label_in, report = self._recorded[kind]
        pictures_in.copy_(pictures)
        label_in.copy_(label)
        graph.replay()
        return report


def set_recordable(optimizer: torch.optim.Optimizer, device: torch.device | None) -> None:
    """Have an Adam read its rates and count its steps on the GPU, in place: a graph would repeat the host's. None: on
    the host again, as a checkpoint of recorded steps needs that goes on elsewhere."""
    for group in optimizer.param_groups:
        rate = float(group["lr"])
        group["lr"] = rate if device is None else torch.tensor(rate, device=device)
        group["capturable"] = device is not None
    for state in optimizer.state.values():
        state["step"] = state["step"].to("cpu" if device is None else device)
