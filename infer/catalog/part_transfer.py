"""Parts of one picture take their look from others: a catalog, queries and modulations put together.

A `Stream` holds a picture's modulations, so an edit of pictures that are known already is one pass of the synthesis.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infer.catalog.catalog import Catalog
from infer.edits.feature_blending import Stream
from infer.edits.query_transfer import Part, Query, check_transfers, transfer
from models.base import Generator, Modulation, StyleGenerator
from models.samples import Samples


@dataclass(frozen=True)
class PartTransfer:
    """What is asked for: a part of the catalog, the picture that it shall look like, and how channels are chosen."""

    part: str
    reference: Stream
    query: Query


@torch.no_grad()
def stream_of(generator: Generator, samples: Samples) -> Stream:
    """Samples with their modulations: the mapping half of the generator, done once.

    z of a style generator becomes w+, so that samples and projected photos go through the synthesis as one batch.
    There are no modulations where layers take none (PG-GAN).
    """
    latent = samples.latent.to(generator.device)
    if isinstance(generator, StyleGenerator) and latent.ndim == 2:
        latent = generator.mapping(latent, samples.label)
    return Stream(latent, generator.modulations(latent, samples.label))


def part_modulations(
    catalog: Catalog, source: Stream, transfers: Sequence[PartTransfer], *, shift: bool = False
) -> list[Modulation]:
    """Modulations of the source with parts of references, see `infer.edits.query_transfer.transfer`."""
    parts = [Part(t.reference.modulations, t.query.of(catalog.part(t.part))) for t in transfers]
    return transfer(source.modulations, parts, shift=shift)


@torch.no_grad()
def transfer_parts(
    generator: Generator, catalog: Catalog, source: Stream, transfers: Sequence[PartTransfer], *, shift: bool = False
) -> Tensor:
    """The picture of a source whose parts look like those of references.

    Args:
        generator: that the catalog was made for, or a photo's tuned copy of it.
        catalog: whose parts are named.
        source: N pictures, or 1 for as many as the references have.
        transfers: later ones lie over earlier ones.
        shift: carry shifts over too; the paper carries over scales alone.

    Returns:
        [N,3,R,R] in [-1,1].

    Raises:
        UnsupportedEdit: a generator without modulated layers.
        PhotograftError: an unknown part, or references that do not fit.
    """
    check_transfers(generator)
    edited = part_modulations(catalog, source, transfers, shift=shift)
    n = max(len(m.scale) for m in edited)
    return generator.synthesize(source.latent.expand(n, *source.latent.shape[1:]), edited)
