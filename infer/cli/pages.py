"""Options that the commands with a page in a browser share."""

from typing import Annotated

import typer

_PAGE = "The page"

HostOption = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Where the page listens. Another address than 127.0.0.1 lets other computers in.",
        rich_help_panel=_PAGE,
    ),
]
PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Of the page.", rich_help_panel=_PAGE)]
AuthOption = Annotated[
    str | None,
    typer.Option(
        metavar="USER:FILE",
        help="Ask for a user and a password; the file holds the password as its only line.",
        show_default=False,
        rich_help_panel=_PAGE,
    ),
]
OpenOption = Annotated[bool, typer.Option("--open", help="Show the page in your browser.", rich_help_panel=_PAGE)]
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 7860
