"""The pages in a browser, on Gradio. Importing this package sets Gradio up, before any module in it imports that.

Gradio takes much from the environment, some of it while it is imported: shares, paths that may be served, ports,
telemetry. None of that reaches our pages. What they serve is kept in a folder of this process alone.
"""

import importlib.util
import os
import tempfile

from models.errors import PhotograftError

EXTRA = "pip install 'photograft[app]'"


def _set_up() -> tempfile.TemporaryDirectory[str]:
    """Returns the private folder of what the page serves and receives; it goes with the process at the latest.

    Raises:
        PhotograftError: Gradio is not installed.
    """
    if importlib.util.find_spec("gradio") is None:
        raise PhotograftError(f"the page needs gradio: {EXTRA}")
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    kept = tempfile.TemporaryDirectory(prefix="photograft-page-", ignore_cleanup_errors=True)  # mode 700
    os.environ |= {"GRADIO_TEMP_DIR": kept.name, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    for name in ("NO_PROXY", "no_proxy"):  # Gradio asks its own page whether it answers
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost", "::1"]))
    return kept


KEPT = _set_up()
