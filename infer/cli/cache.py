"""`infer.py cache ...`: the projections that are kept between runs, and the models that were fetched."""

import typer

from infer.cli.common import say

cache_app = typer.Typer(help="Projections and fetched models kept between runs: look at, remove.", no_args_is_help=True)


@cache_app.callback()
def _group() -> None:
    """Projections and fetched models kept between runs: look at, remove."""


@cache_app.command()
def info() -> None:
    """Say where projections, settled latents and fetched models are kept, how many there are and how large they are.

    PHOTOGRAFT_CACHE (a folder) and PHOTOGRAFT_CACHE_MB (the size of projections at most, by default 512) change that.
    The projections that were not used for longest go first; models stay.
    """
    from infer.projection.cache import ProjectionCache
    from models.hub import kept
    from models.reading import MEBI

    cache = ProjectionCache.default()
    files = cache.files()
    size = sum(stat.st_size for _, stat in files)
    say(cache.folder)
    say(f"{len(files)} projections and settled latents, {size / MEBI:.1f} of at most {cache.limit / MEBI:.0f} MB")
    models = list(kept.fetched())
    say(kept.models_folder())
    say(f"{len(models)} fetched models, {sum(size for _, size in models) / MEBI:.1f} MB")


@cache_app.command()
def clear() -> None:
    """Remove all of them. Photos are projected again then, and models fetched again; nothing else is lost."""
    from infer.projection.cache import ProjectionCache
    from models.hub import kept

    cache = ProjectionCache.default()
    say(f"{cache.clear()} files removed from {cache.folder}")
    say(f"{kept.clear()} fetched models removed from {kept.models_folder()}")
