"""`infer.py`, installed as `photograft`: edit photos, look at models, convert weights."""

import signal
from collections.abc import Sequence

import typer

from infer.cli import app as cli_app
from infer.cli import blend as cli_blend
from infer.cli import edit as cli_edit
from infer.cli import export_onnx as cli_export_onnx
from infer.cli import models as cli_models
from infer.cli import project as cli_project
from infer.cli import study as cli_study
from infer.cli import transfer as cli_transfer
from infer.cli.cache import cache_app
from infer.cli.catalog import catalog_app
from infer.cli.common import complain
from infer.cli.evaluate import evaluate_app
from models.errors import PhotograftError
from models.terminal import orderly, reader_gone, robust_streams

app = typer.Typer(
    help="Edit real photos inside a GAN: change the class of a region, and blend it back at native resolution.",
    epilog="For example: infer.py edit cat.jpg --to lion",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PHOTOS, MODELS = "Photos", "Models"

app.command(rich_help_panel=PHOTOS)(cli_app.app)
app.command(rich_help_panel=PHOTOS)(cli_edit.edit)
app.command(rich_help_panel=PHOTOS)(cli_transfer.transfer)
app.command(rich_help_panel=PHOTOS)(cli_blend.blend)
app.command(rich_help_panel=PHOTOS)(cli_project.project)
app.command(rich_help_panel=PHOTOS)(cli_project.demo)
app.command(rich_help_panel=MODELS)(cli_models.models)
app.command(rich_help_panel=MODELS)(cli_models.classes)
app.command(rich_help_panel=MODELS)(cli_models.sample)
app.command(rich_help_panel=MODELS)(cli_models.inspect)
app.command(rich_help_panel=MODELS)(cli_models.convert)
app.command(rich_help_panel=MODELS)(cli_export_onnx.export_onnx)
app.command(rich_help_panel=MODELS)(cli_models.bench)
app.command(rich_help_panel=MODELS)(cli_study.study)
app.add_typer(cache_app, name="cache", rich_help_panel=PHOTOS)
app.add_typer(catalog_app, name="catalog", rich_help_panel=MODELS)
app.add_typer(evaluate_app, name="evaluate", rich_help_panel=MODELS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for what a user can mend (one line on stderr), 128 + n for a signal.

    What is done when a signal comes is kept, and its paths are printed; nothing half done is left.

    Args:
        arguments: of the command line; those of the process if None.
    """
    robust_streams()
    with orderly() as signals:
        code = _run(arguments)
    if code == 130:
        complain("interrupted" if signals.received in (None, signal.SIGINT) else "terminated")
        return signals.code
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=arguments, standalone_mode=False)
    except PhotograftError as error:
        complain(str(error))
        return 2
    except SystemExit as end:  # how typer and rich end at a closed pipe
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        return reader_gone()
    except OSError as error:  # of the user's files and disks, where nothing nearer has said more
        where = f"{error.filename}: " if error.filename else ""
        complain(f"{where}{error.strerror or error}")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        text = error.format_message()  # of typer: unknown options, bad numbers, missing arguments
        if text:  # none where it has just shown the help
            complain(f"{text} (--help says more)")
        return 2
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    raise SystemExit(main())
