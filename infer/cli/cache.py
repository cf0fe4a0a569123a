"""`infer.py cache ...`: the projections that are kept between runs."""

import typer

from infer.cli.common import say

cache_app = typer.Typer(help="Projections kept between runs: look at, remove.", no_args_is_help=True)


@cache_app.callback()
def _group() -> None:
    """Projections kept between runs: look at, remove."""


@cache_app.command()
def info() -> None:
    """Say where projections and settled latents are kept, how many there are and how large they are.

    PHOTOGRAFT_CACHE (a folder) and PHOTOGRAFT_CACHE_MB (their size at most, by default 512) change that. What was not
    used for longest goes first.
    """
    from infer.projection.cache import ProjectionCache
    from models.reading import MEBI

    cache = ProjectionCache.default()
    files = cache.files()
    size = sum(stat.st_size for _, stat in files)
    say(cache.folder)
    say(f"{len(files)} projections and settled latents, {size / MEBI:.1f} of at most {cache.limit / MEBI:.0f} MB")


@cache_app.command()
def clear() -> None:
    """Remove all of them. Photos are projected again then; nothing else is lost."""
    from infer.projection.cache import ProjectionCache

    cache = ProjectionCache.default()
    say(f"{cache.clear()} files removed from {cache.folder}")
