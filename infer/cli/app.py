"""`infer.py app`"""

from infer.cli.common import DeviceOption, ModelOption, say
from infer.cli.options import CacheOption, SegmenterOption
from infer.cli.pages import DEFAULT_HOST, DEFAULT_PORT, AuthOption, HostOption, OpenOption, PortOption
from models.device import find_device
from models.zoo import DEFAULT, model_files, model_stem


def app(
    model: ModelOption = DEFAULT,
    segmenter: SegmenterOption = "deeplab",
    device: DeviceOption = "auto",
    cache: CacheOption = True,
    host: HostOption = DEFAULT_HOST,
    port: PortOption = DEFAULT_PORT,
    auth: AuthOption = None,
    open_browser: OpenOption = False,
) -> None:
    """Edit photos on a page in the browser: open, paint, choose, slide, keep.

    Photos stay on this computer, in memory, and go with the browser's tab. Whatever the page does, its recipe can do
    again: infer.py edit PHOTO --recipe FILE.
    """
    model_files(model_stem(model))  # a wrong name is a line before anything is loaded
    find_device(device)
    from infer.app.editing.binding import editing_page
    from infer.app.editing.opening import Opened
    from infer.app.shell import serve
    from infer.cli.photos import kept_projections

    opened = Opened(model, device, segmenter, kept_projections(cache))
    serve(editing_page(opened.studio), say=say, host=host, port=port, auth=auth, open_browser=open_browser)
