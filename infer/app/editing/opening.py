"""The model is made ready while the page opens."""

from concurrent.futures import Future, ThreadPoolExecutor

from infer.app.editing.studio import Studio
from infer.projection.cache import ProjectionCache
from models.device import DeviceName
from models.prepared import Networks
from models.zoo import load_model


class Opened:
    """What all browsers share, from the first of them on.

    Args:
        model, device, segmenter, cache: see `infer.editor.session.Session`.
    """

    def __init__(self, model: str, device: DeviceName, segmenter: str, cache: ProjectionCache | None) -> None:
        worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._future: Future[Studio] = worker.submit(_studio, model, device, segmenter, cache)
        worker.shutdown(wait=False)

    def studio(self) -> Studio:
        """Waits for it. Raises PhotograftError where the model cannot be loaded."""
        return self._future.result()


def _studio(model: str, device: DeviceName, segmenter: str, cache: ProjectionCache | None) -> Studio:
    return Studio(Networks.of(load_model(model), device), segmenter, cache)
