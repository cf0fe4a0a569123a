"""Both papers' edits on every family: one contract, held by tiny networks with random weights.

Batches of 1 and 3, float32 and bfloat16. What an edit must not touch is compared to the bit.
"""

from dataclasses import dataclass
from itertools import product

import pytest
import torch
from torch import Tensor

from infer.catalog.catalog import build_catalog
from infer.catalog.part_transfer import PartTransfer, part_modulations
from infer.editor.points import Sample, sample_point
from infer.editor.steps import Blend, ChangeClass, Ground, Transfer, changes, passed
from infer.edits.feature_blending import Stream, blend, blending_tap, regions_tap, shift_features
from infer.edits.query_transfer import Part, Query, check_transfers, transfer
from infer.edits.scbn import Region, class_modulations, region_maps, region_weights, resize_weights, spatial_mix
from infer.photo.cielab import lab_of
from infer.pictures.convert import to_pixels
from models.base import Generator, Layer, Modulation, StyleGenerator
from models.errors import UnsupportedEdit
from models.generators.biggan import BigGANDeepGenerator
from models.generators.pggan import PGGANGenerator
from models.generators.stylegan2 import StyleGAN2Generator
from models.prepared import prepare
from models.samples import Samples
from models.zoo import Model
from tests.models.test_contract import CASES, build

SETTINGS = list(product(CASES, (1, 3), (torch.float32, torch.bfloat16)))


def title(setting: object) -> str:
    (family, name), n, dtype = setting  # type: ignore[misc]
    return f"{family}-{name}-{n}-{str(dtype).removeprefix('torch.')}"


@dataclass
class Case:
    """A network in some dtype, n latents with classes, and n others."""

    generator: Generator
    latent: Tensor
    label: Tensor | None
    other: Tensor
    other_label: Tensor | None

    def stream(self, latent: Tensor, label: Tensor | None) -> Stream:
        return Stream(latent, self.generator.modulations(latent, label))

    @property
    def base(self) -> Stream:
        return self.stream(self.latent, self.label)

    @property
    def reference(self) -> Stream:
        """Of another latent and another class."""
        return self.stream(self.other, self.other_label)


@pytest.fixture(params=SETTINGS, ids=title)
def case(request: pytest.FixtureRequest) -> Case:
    (family, name), n, dtype = request.param
    generator = prepare(build(family, name), dtype)
    random = torch.Generator().manual_seed(2)
    k = generator.num_classes
    labels = [torch.arange(n) % k, (torch.arange(n) + 1) % k] if k else [None, None]
    latents = [generator.sample_latent(n, random) for _ in range(2)]
    return Case(generator, latents[0], labels[0], latents[1], labels[1])


def recorded(generator: Generator, stream: Stream, tap: object = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Picture and features of all layers, after a tap."""
    seen: dict[str, Tensor] = {}

    def both(layer: Layer, features: Tensor) -> Tensor:
        seen[layer.name] = features if tap is None else tap(layer, features)  # type: ignore[operator]
        return seen[layer.name]

    return generator.synthesize(stream.latent, stream.modulations, both), seen


def near(generator: Generator, first: Tensor, second: Tensor) -> bool:
    """Whether pictures agree but for rounding, which in bfloat16 is relative to their largest values."""
    if next(generator.parameters()).dtype == torch.float32:
        return torch.allclose(first, second, atol=1e-4)
    return float((first - second).abs().max()) <= max(0.25, 0.05 * float(second.abs().max()))


def left(size: int) -> Tensor:
    """A mask [R,R] of the left half."""
    mask = torch.zeros(size, size)
    mask[:, : size // 2] = 1
    return mask


# ---------------------------------------------------------------------- sCBN


def test_scbn_of_several_classes_and_latents(case: Case) -> None:
    """W of one class everywhere is that class; W of two is neither, and is as W says at every position."""
    g = case.generator
    if not g.modulated_layers:
        pytest.skip("no modulated layers")
    lists = [case.base.modulations, case.reference.modulations, g.modulations(case.latent.flip(0), case.other_label)]
    for k, stream in ((0, case.base), (1, case.reference)):
        maps = []
        for layer in g.modulated_layers:
            w = torch.zeros(1, 3, layer.resolution, layer.resolution)
            w[:, k] = 1
            maps.append(w)
        mixed = g.synthesize(stream.latent, spatial_mix(lists, maps))
        assert near(g, mixed, g.synthesize(stream.latent, stream.modulations))
    thirds = [
        torch.softmax(torch.randn(1, 3, layer.resolution, layer.resolution), dim=1) for layer in g.modulated_layers
    ]
    mixed_modulations = spatial_mix(lists, thirds)
    for layer, w, got, given in zip(
        g.modulated_layers, thirds, mixed_modulations, zip(*lists, strict=True), strict=True
    ):
        scales = [m.scale if m.scale.ndim == 4 else m.scale[:, :, None, None] for m in given]
        y = layer.resolution // 2
        expected = sum(s.expand(-1, -1, *w.shape[2:])[:, :, y, y] * w[:, i, y, y].to(s) for i, s in enumerate(scales))
        assert isinstance(expected, Tensor)
        assert torch.allclose(got.scale[:, :, y, y], expected, rtol=0.02, atol=0.02)
    image = g.synthesize(case.latent, mixed_modulations)
    assert torch.isfinite(image).all()
    assert not near(g, image, g.synthesize(case.latent, lists[0])) or image.shape[-1] < 8


def test_classes_of_regions(case: Case) -> None:
    g = case.generator
    regions = [Region(left(g.resolution), 1), Region(left(g.resolution).flip(1), 2 % max(g.num_classes, 1), 0.5)]
    if not g.num_classes or not g.modulated_layers:
        with pytest.raises(UnsupportedEdit, match="cannot be changed"):
            region_maps(g, regions)
        return
    assert case.label is not None
    origin = case.latent
    mixed = class_modulations(g, case.latent, case.label, regions, origin=origin)
    image = g.synthesize(case.latent, mixed)
    assert image.shape == (len(case.latent), 3, g.resolution, g.resolution)
    assert torch.isfinite(image).all()
    alone = class_modulations(g, case.latent[:1], case.label[:1], regions, origin=origin[:1])
    assert near(g, g.synthesize(case.latent[:1], alone), image[:1])
    nothing = [Region(torch.zeros(g.resolution, g.resolution), 1)]
    unchanged = class_modulations(g, case.latent, case.label, nothing, origin=origin)
    assert near(g, g.synthesize(case.latent, unchanged), g(case.latent, case.label))


def test_the_first_map_of_biggan_deep_changes_its_class_in_a_region() -> None:
    """Its class is a shift of the first map: outside of W nothing moves, to the bit."""
    generator = build("biggan_deep", "conditional")
    assert isinstance(generator, BigGANDeepGenerator)
    z, label = generator.sample_latent(2), torch.tensor([0, 1])
    mixed = class_modulations(generator, z, label, [Region(left(4), 2)], layers=[0], mode="nearest")
    plain = recorded(generator, Stream(z, generator.modulations(z, label)))[1]["linear"]
    other = recorded(generator, Stream(z, generator.modulations(z, torch.tensor([2, 2]))))[1]["linear"]
    got = recorded(generator, Stream(z, mixed))[1]["linear"]
    assert torch.equal(got[..., 2:], plain[..., 2:])
    assert torch.allclose(got[..., :2], other[..., :2], atol=1e-6)


# ---------------------------------------------------------------------- feature blending


def test_blending_outside_of_m_is_untouched(case: Case) -> None:
    """At every feature layer (first map, blocks, attention): base outside of M, reference inside, to the bit."""
    g = case.generator
    base, reference = case.base, case.reference
    own, theirs = recorded(g, base)[1], recorded(g, reference)[1]
    plain = g.synthesize(base.latent, base.modulations)
    assert g.feature_layers[0].name in ("linear", "blocks.0")
    for i, layer in enumerate(g.feature_layers):
        m = region_weights([left(layer.resolution)])
        image, seen = recorded(g, base, blending_tap(g, [reference], {i: m}))
        half = layer.resolution // 2
        assert torch.equal(seen[layer.name][..., half:], own[layer.name][..., half:]), layer
        assert torch.equal(seen[layer.name][..., :half], theirs[layer.name][..., :half]), layer
        assert torch.isfinite(image).all()
        names = [one.name for one in g.layers]
        for before in names[: names.index(layer.name)]:
            assert torch.equal(seen[before], own[before]), "earlier layers know nothing of it"
        nothing = blend(g, base, [reference], {i: region_weights([torch.zeros(layer.resolution, layer.resolution)])})
        assert near(g, nothing, plain)


@pytest.mark.parametrize("cells", [(1.0, 0.0), (0.0, -2.0), (-1.0, 1.0), (0.5, 0.0), (0.25, -1.75)])
def test_blending_a_shifted_reference_is_blending_its_shifted_features(case: Case, cells: tuple[float, float]) -> None:
    """U by whole cells of the map is exact; by parts of a cell it is the interpolated map."""
    g = case.generator
    base, reference = case.base, case.reference
    theirs = recorded(g, reference)[1]
    own = recorded(g, base)[1]
    for i, layer in enumerate(g.feature_layers):
        m = region_weights([left(layer.resolution)])
        pixels = g.resolution / layer.resolution
        tap = blending_tap(g, [reference], {i: m}, shifts=[(cells[0] * pixels, cells[1] * pixels)])
        got = recorded(g, base, tap)[1][layer.name]
        moved = shift_features(theirs[layer.name], *cells)
        expected = torch.where(left(layer.resolution).bool(), moved, own[layer.name])
        assert torch.equal(got, expected), layer
        if all(cell == int(cell) for cell in cells):
            dx, dy = map(int, cells)
            rolled = theirs[layer.name].roll((dy, dx), (2, 3))
            inner = slice(2, layer.resolution - 2)
            assert torch.equal(moved[..., inner, inner], rolled[..., inner, inner])


def test_references_keep_their_own_classes(case: Case) -> None:
    """Two references in one pass are what each is by itself."""
    g = case.generator
    last = len(g.feature_layers) - 1
    layer = g.feature_layers[last]
    references = [case.reference, case.stream(case.other.flip(0), case.label)]
    halves = [left(layer.resolution), left(layer.resolution).flip(1)]
    weights = {last: resize_weights(region_weights(halves), layer.resolution)}
    got = recorded(g, case.base, blending_tap(g, references, weights))[1][layer.name]
    alone = [recorded(g, reference)[1][layer.name] for reference in references]
    assert near(g, got, torch.where(halves[0].bool(), *alone))


def test_change_of_pixels_is_shown_in_cielab(case: Case) -> None:
    """Blended in the last map, pixels change under the mask and a convolution's width around it."""
    g = case.generator
    last = len(g.feature_layers) - 1
    layer = g.feature_layers[last]
    plain, _ = recorded(g, case.base)
    edited = blend(g, case.base, [case.reference], {last: region_weights([left(layer.resolution)])})
    lab = [lab_of(to_pixels(x[:1])) for x in (plain, edited)]
    change = ((lab[0] - lab[1]) ** 2).sum(-1) ** 0.5
    reach = g.resolution // 2 + 2 * g.resolution // layer.resolution
    if reach < g.resolution:
        assert change[:, reach:].max() == 0
    assert change[:, : g.resolution // 2].mean() > 0


def test_stylegan2_keeps_the_rgb_of_lower_resolutions() -> None:
    """Skip architecture: what was drawn before the blended layer stays the base's, and is added enlarged."""
    generator = build("stylegan2", "skip")
    assert isinstance(generator, StyleGAN2Generator)
    z = generator.sample_latent(2, torch.Generator().manual_seed(0))
    streams = [Stream(one, generator.modulations(one)) for one in (z[:1], z[1:])]
    own, theirs = (recorded(generator, stream)[1] for stream in streams)
    names = [layer.name for layer in generator.modulated_layers]
    for i in range(1, len(generator.blocks)):
        size = generator.feature_layers[i].resolution
        whole = {i: region_weights([torch.ones(size, size)])}
        got = blend(generator, streams[0], [streams[1]], whole)
        # the reference's features drawn in the base's styles, on the base's RGB of what lies below
        mixed = blend(generator, streams[0], [streams[1]], whole | {
            j: region_weights([torch.ones(layer.resolution, layer.resolution)])
            for j, layer in enumerate(generator.feature_layers) if j < i
        })  # fmt: skip
        below: Tensor | None = None
        for j in range(i):
            block = generator.blocks[j]
            modulation = streams[0].modulations[names.index(f"blocks.{j}.to_rgb")]
            drawn = [block.to_rgb(seen[f"blocks.{j}.to_rgb"], modulation) for seen in (own, theirs)]  # type: ignore[operator]
            rgb = drawn[0] - drawn[1]
            below = rgb if below is None else generator.fir.up(below) + rgb
        assert below is not None
        for _ in range(i, len(generator.blocks)):
            below = generator.fir.up(below)
        assert torch.allclose(got - mixed, below, atol=1e-4)
        assert float(below.abs().max()) > 1e-3


@pytest.mark.parametrize("family", ["stylegan", "stylegan2"])
def test_noise_under_blending(family: str) -> None:
    """A block's features have their noise already: blending carries the reference's over, later layers add theirs once.

    With the stored noise a picture blended into itself is itself, to the bit.
    """
    generator = build(family, "unconditional" if family == "stylegan" else "skip")
    assert isinstance(generator, StyleGenerator)
    z = generator.sample_latent(1)
    stream = Stream(z, generator.modulations(z))
    plain = generator.synthesize(z, stream.modulations)
    whole = {i: region_weights([left(layer.resolution)]) for i, layer in enumerate(generator.feature_layers)}
    assert torch.equal(blend(generator, stream, [stream], whole), plain)
    generator.noise = "none"
    quiet = Stream(z, generator.modulations(z))
    bare = recorded(generator, quiet)[1]["blocks.1"]
    generator.noise = "const"
    size = generator.feature_layers[1].resolution
    m = region_weights([torch.full((size, size), 0.5)])
    noisy = recorded(generator, stream)[1]["blocks.1"]
    mixed = recorded(generator, stream, blending_tap(generator, [stream], {1: m}))[1]["blocks.1"]
    assert torch.allclose(mixed - bare, noisy - bare, atol=1e-5), "one noise, at its strength: not the mean of two"


# ---------------------------------------------------------------------- query transfer


def test_query_transfer(case: Case) -> None:
    """Channels that q leaves out are the source's to the bit; q = 1 with shifts is the reference's modulations."""
    g = case.generator
    if not g.modulated_layers:
        with pytest.raises(UnsupportedEdit, match="only features can be blended"):
            check_transfers(g)
        assert isinstance(g, PGGANGenerator)
        return
    source, reference = case.base.modulations, case.reference.modulations
    half = [torch.arange(layer.channels) % 2 for layer in g.modulated_layers]
    edited = transfer(source, [Part(reference, [q.float() for q in half])])
    for before, after, theirs, q in zip(source, edited, reference, half, strict=True):
        assert torch.equal(after.scale[:, q == 0], before.scale[:, q == 0])
        assert torch.allclose(after.scale[:, q == 1], theirs.scale[:, q == 1], rtol=0.02, atol=0.02)
        assert after.shift is None or torch.equal(after.shift, before.shift.expand_as(after.shift))  # type: ignore[union-attr]
    whole = transfer(source, [Part(reference, [torch.ones_like(q).float() for q in half])], shift=True)
    assert near(g, g.synthesize(case.latent, whole), g.synthesize(case.latent, list(reference)))
    assert torch.isfinite(g.synthesize(case.latent, edited)).all()


# ---------------------------------------------------------------------- catalogs, and all edits in one list of steps


@pytest.fixture(params=CASES, ids="-".join)
def model(request: pytest.FixtureRequest) -> Model:
    generator = build(*request.param)
    k = generator.num_classes
    names = [f"class {i}" for i in range(k)]
    return Model(
        "tiny", generator, class_names=names, groups=[0] * k, group_names=["all"], distribution=[1 / k] * k if k else []
    )


def test_catalog_of_every_layer(model: Model) -> None:
    """Contributions of a channel to all clusters of a layer add up to its variance, which is 1."""
    layers = model.generator.layers
    for layer in {layers[0], layers[len(layers) // 2], layers[-1]}:
        catalog = build_catalog(model, layer=layer.name, clusters=2, samples=6, restarts=1)
        assert catalog.centres.shape == (2, layer.channels)
        assert [*catalog.contributions] == [one.name for one in model.generator.modulated_layers]
        for name, m in catalog.contributions.items():
            total = m.sum(0)
            assert torch.isfinite(m).all()
            assert (total <= 1 + 1e-3).all(), name
            assert ((total - 1).abs() < 0.05).any(), name


def test_all_edits_in_one_list_of_steps(model: Model) -> None:
    """The list is the functions one after another."""
    g = model.generator
    classes = bool(model.class_names)
    catalog = build_catalog(model, clusters=2, samples=6, restarts=1)
    points = [
        sample_point(model, Sample(seed, model.class_names[seed % g.num_classes] if classes else None))
        for seed in (3, 4, 5)
    ]
    mask = left(g.resolution)
    blended = range(len(g.feature_layers))
    steps: list[ChangeClass | Blend | Transfer] = [Blend(points[1], mask.numpy(), move=(1, 0), layers=blended)]
    if g.modulated_layers:
        steps.append(Transfer(points[2], "0", "simultaneous"))
    if classes and g.modulated_layers:
        steps.insert(0, ChangeClass("class 2", mask.numpy(), 0.7))
    ground, samples = Ground(model, g, catalog), points[0].samples
    with torch.no_grad():
        done = passed(
            changes(steps, [mask] * len(steps), ground), ground, Samples(samples.latent, samples.label, samples.origin)
        )
        modulations: list[Modulation] = g.modulations(samples.latent, samples.label)
        if classes and g.modulated_layers:
            assert samples.label is not None
            region = [Region(mask, 2, 0.7)]
            modulations = class_modulations(
                g, samples.latent, samples.label, region, origin=samples.origin, base=modulations
            )
        if g.modulated_layers:
            asked = [PartTransfer("0", points[2].stream, Query("simultaneous"))]
            modulations = part_modulations(catalog, Stream(samples.latent, modulations), asked)
        tap = regions_tap(g, [points[1].stream], [mask], layers=blended, shifts=[(1, 0)])
        expected = g.synthesize(samples.latent, modulations, tap)
    assert torch.equal(done.image(), expected)
    assert not torch.allclose(expected, g(samples.latent, samples.label))
