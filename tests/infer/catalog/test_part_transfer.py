"""Transfers of parts on generators: what changes, what does not, and what it costs."""

import pytest
import torch

from infer.catalog.catalog import Catalog, build_catalog
from infer.catalog.part_transfer import PartTransfer, part_modulations, stream_of, transfer_parts
from infer.edits.query_transfer import Query
from infer.evaluate.locality import measure_curves
from models.errors import PhotograftError
from models.samples import draw
from models.zoo import Model
from tests.infer.catalog.conftest import FakeStyles


@pytest.fixture
def styles() -> FakeStyles:
    return FakeStyles()


@pytest.fixture
def model(styles: FakeStyles) -> Model:
    return Model("fake", styles)


@pytest.fixture
def catalog(model: Model) -> Catalog:
    """Clusters are quadrants, in the order of reading."""
    found = build_catalog(model, layer="low", clusters=4, samples=8)
    order = [int(found.maps[:, y, x].argmax()) for y, x in ((0, 0), (0, 7), (7, 0), (7, 7))]
    names = {name: (k,) for name, k in zip(("a", "b", "c", "d"), order, strict=True)}
    return Catalog(
        found.settings, found.centres, found.mean, found.std, found.contributions, found.maps, names | {"ab": order[:2]}
    )


def test_a_part_changes_and_the_rest_does_not(styles: FakeStyles, model: Model, catalog: Catalog) -> None:
    source, reference = (stream_of(styles, draw(model, 4, seed=seed)) for seed in (1, 2))
    before = styles.synthesize(source.latent, source.modulations)
    query = Query(
        epsilon=0.6, rho=0.25
    )  # buys the channel of the quadrant (M about 3/4) in each layer, and no other has M > 0.2
    after = transfer_parts(styles, catalog, source, [PartTransfer("b", reference, query)])
    change = (after - before).abs().sum(1)
    assert change[:, :8, 8:].amin((1, 2)).max() > 0.01
    assert change[:, 8:].max() < 0.1 * change[:, :8, 8:].max()


def test_global_at_one_is_the_reference(styles: FakeStyles, model: Model, catalog: Catalog) -> None:
    source, reference = (stream_of(styles, draw(model, 2, seed=seed)) for seed in (1, 2))
    after = transfer_parts(styles, catalog, source, [PartTransfer("a", reference, Query("global"))])
    assert torch.allclose(after, styles.synthesize(reference.latent, reference.modulations), atol=1e-6)


def test_one_source_for_many_references(styles: FakeStyles, model: Model, catalog: Catalog) -> None:
    source, references = stream_of(styles, draw(model, 1, seed=1)), stream_of(styles, draw(model, 3, seed=2))
    ask = [PartTransfer("ab", references, Query())]
    assert transfer_parts(styles, catalog, source, ask).shape == (3, 3, 16, 16)


def test_several_parts_of_several_references(styles: FakeStyles, model: Model, catalog: Catalog) -> None:
    source, first, second = (stream_of(styles, draw(model, 1, seed=seed)) for seed in (1, 2, 3))
    query = Query(epsilon=0.6, rho=0.25)
    both = part_modulations(catalog, source, [PartTransfer("a", first, query), PartTransfer("d", second, query)])
    for m, s, f, g in zip(both, source.modulations, first.modulations, second.modulations, strict=True):
        assert torch.allclose(m.scale[:, 0], f.scale[:, 0], atol=1e-5)
        assert torch.equal(m.scale[:, 1:3], s.scale[:, 1:3])
        assert torch.allclose(m.scale[:, 3], g.scale[:, 3], atol=1e-5)


def test_a_further_edit_is_one_pass_of_the_synthesis(styles: FakeStyles, model: Model, catalog: Catalog) -> None:
    source, reference = (stream_of(styles, draw(model, 1, seed=seed)) for seed in (1, 2))
    counts = styles.mapped, styles.styled, styles.synthesized
    for epsilon in (1.0, 2.0, 3.0):
        transfer_parts(styles, catalog, source, [PartTransfer("a", reference, Query(epsilon=epsilon))])
    assert (styles.mapped, styles.styled, styles.synthesized) == (counts[0], counts[1], counts[2] + 3)


def test_sequential_is_more_local(model: Model, catalog: Catalog) -> None:
    found = measure_curves(model, catalog, "b", pairs=20)
    for curve in found.values():
        assert curve.values[0] == curve.inside[0] == curve.outside[0] == 0
    whole = found["global"]
    assert float(whole.inside[-1]) == pytest.approx(1)
    assert float(whole.outside[-1]) == pytest.approx(1)
    outside = [found[mode].outside_at(0.3) for mode in ("sequential", "simultaneous", "global")]
    assert outside[0] < outside[1] < outside[2]
    with pytest.raises(PhotograftError, match="unknown part"):
        measure_curves(model, catalog, "nose", pairs=2)


def test_where_a_part_is_nowhere(model: Model, catalog: Catalog) -> None:
    everywhere = Catalog(
        catalog.settings,
        catalog.centres,
        catalog.mean,
        catalog.std,
        catalog.contributions,
        catalog.maps,
        {"all": (0, 1, 2, 3)},
    )
    with pytest.raises(PhotograftError, match="everywhere"):
        measure_curves(model, everywhere, "all", pairs=2)
