"""Projection: the original's trajectories, independence of pictures, restarts, early stop, choice of the class."""

import copy

import pytest
import torch
from torch import Tensor, nn

from infer.projection.search import HALVING
from models.auxiliary import AuxiliaryNetworks
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.errors import PhotograftError
from models.generators.sngan import SNGANGenerator
from models.prepared import prepare
from models.projection.adam import Adam
from models.projection.objective import Objective
from models.projection.spaces import draw_to_ball
from tests.collage_fixtures import IMAGE, LATENT, TRAJECTORY, Fixture, manifest, names, network, networks, uses
from tests.infer.projection.helpers import rank_classes, search


def partners(name: str) -> tuple[str, str]:
    """The discriminator and the encoder that a recording was made with, from its note."""
    words = dict(word.split("=") for word in manifest()[name]["note"].replace(".", " ").split() if word.count("=") == 1)
    return words["dis"], words["enc"]


@pytest.mark.parametrize("name", names("proj_"))
def test_original(name: str) -> None:
    dis, enc = partners(name)
    loaded = networks(uses(name))
    auxiliary = loaded.get("auxiliary") if name.endswith("_aux") else None
    assert auxiliary is None or isinstance(auxiliary, AuxiliaryNetworks)
    with Fixture(name) as fixture:
        x = fixture.get("patch_uint8").permute(2, 0, 1)[None].float() / 128 - 1
        y = fixture.get("c")
        start = fixture.get("z_init")
        if "z_enc" in fixture:
            with torch.no_grad():
                start = network(enc, "encoder").encode(x, y)
            fixture.check("z_enc", start, **LATENT)
            fixture.check("z_init", start, **LATENT)
            start = fixture.get("z_init")
        d = prepare(network(dis, "discriminator"))
        objective = Objective(loaded["generator"], d, x, y, auxiliary=auxiliary)  # type: ignore[arg-type]
        with torch.no_grad():
            variable = start if auxiliary is None else auxiliary.to_zeta(start)
        fixture.check("start", variable, **LATENT)
        adam, trail = Adam.start(variable), _Trail()
        rate = fixture.get("alpha").item()
        for _ in range(len(fixture.get("loss"))):
            losses, gradient = objective.gradient(variable, torch.tensor([0]))
            variable = adam.step(variable, gradient, rate)
            trail.add(losses.feature - 1, 0.2 * losses.pixel, losses.total - 1, gradient, variable)
            trail.z.append(variable if auxiliary is None else losses.latent)
        for key, values in (("l1", trail.l1), ("l2", trail.l2), ("loss", trail.loss), ("z_saved", trail.z)):
            fixture.check(key, torch.cat(values), **TRAJECTORY)
        fixture.check("grad", torch.cat(trail.grad), **TRAJECTORY)
        fixture.check("target", torch.cat(trail.target), **TRAJECTORY)
        fixture.check("recon_last_stride2", losses.image, rtol=0, atol=2 * IMAGE["atol"])
        shown = (losses.image[0, :, ::2, ::2].permute(1, 2, 0) * 127.5 + 127.5).clamp(0, 255).to(torch.uint8)
        assert (shown.int() - fixture.get("recon_last_uint8_stride2").int()).abs().max() <= 1
        # the whole loop from there
        options = {"auxiliary": auxiliary, "space": "z" if auxiliary is None else "zeta", "keep": "last"}
        n = len(trail.l1)
        found = search(loaded["generator"], network(dis, "discriminator"), x, y, init=start, steps=n, **options)  # type: ignore[arg-type]
        last = found.latent if auxiliary is None else found.zeta
        assert last is not None
        assert torch.allclose(last, fixture.get("target")[-1:], atol=1e-4)


class _Trail:
    def __init__(self) -> None:
        self.l1: list[Tensor] = []
        self.l2: list[Tensor] = []
        self.loss: list[Tensor] = []
        self.grad: list[Tensor] = []
        self.target: list[Tensor] = []
        self.z: list[Tensor] = []

    def add(self, *values: Tensor) -> None:
        for kept, value in zip((self.l1, self.l2, self.loss, self.grad, self.target), values, strict=True):
            kept.append(value)


Nets = tuple[SNGANGenerator, SNProjectionDiscriminator]


def made(channels: tuple[int, ...]) -> Nets:
    """A generator whose classes differ, and a discriminator."""
    torch.manual_seed(3)
    g = SNGANGenerator(channels, latent_dim=8, num_classes=3)
    for module in g.modules():
        for name in ("gamma", "beta"):
            if hasattr(module, name):
                nn.init.normal_(getattr(module, name), mean=0.5, std=0.5)
    d = SNProjectionDiscriminator((8, 16), num_classes=3)
    return g.freeze(), d.freeze()


@pytest.fixture(scope="module")
def nets() -> Nets:
    return made((16, 8, 4))


@pytest.fixture(scope="module")
def nets32() -> Nets:
    """At 32 px, the least that a projected discriminator looks at; with more contrast than fresh weights give."""
    g, d = made((16, 8, 4, 4))
    g.to_rgb.weight.mul_(30)
    return g, d


def test_projection_finds_what_the_generator_made(nets: Nets) -> None:
    g, d = nets
    y = torch.tensor([0, 1, 2])
    x = g(torch.randn(3, 8), y)
    before = {k: v.clone() for k, v in d.state_dict().items()}
    found = search(g, d, x, y, steps=30, restarts=1)
    assert found.feature_curve.shape == (31, 3)
    total = found.feature_curve + 0.2 * found.pixel_curve
    assert (found.loss < 0.7 * total[0]).all()
    assert torch.allclose(found.loss, total.amin(0))
    assert found.iterations.tolist() == [30, 30, 30]
    objective = Objective(g, d, x, y)
    assert torch.allclose(objective(found.latent, torch.arange(3)).total, found.loss, atol=1e-5)
    assert all(torch.equal(v, d.state_dict()[k]) for k, v in before.items())


def test_batch_is_one_by_one(nets: Nets) -> None:
    g, d = nets
    y = torch.tensor([0, 1, 2])
    x, z = g(torch.randn(3, 8), y), torch.randn(3, 8)
    single = search(g, d, x, y, init=z, steps=8)
    grouped = [search(g, d, x, y, init=z, steps=8, batch_size=size) for size in (2, 3)]
    for i in range(3):
        alone = search(g, d, x[i : i + 1], y[i : i + 1], init=z[i : i + 1], steps=8)
        assert torch.equal(single.latent[i], alone.latent[0])
        assert torch.equal(single.loss[i], alone.loss[0])
        for found in grouped:  # to rounding
            assert torch.allclose(found.latent[i], alone.latent[0], atol=1e-4)
            assert torch.allclose(found.loss[i], alone.loss[0], atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_random_starts_depend_on_the_seed_alone(nets: Nets, batch_size: int) -> None:
    g, d = nets
    x = torch.rand(5, 3, 16, 16) * 2 - 1
    options = {"init": "random", "steps": 0, "batch_size": batch_size}
    found = search(g, d, x, torch.tensor([0, 1, 2, 0, 1]), **options)  # type: ignore[arg-type]
    assert torch.equal(found.latent, g.sample_latent(1, torch.Generator().manual_seed(0)).expand(5, -1))
    other = search(g, d, x[:1], torch.tensor([0]), seed=1, **options)  # type: ignore[arg-type]
    assert not torch.equal(other.latent, found.latent[:1])


@pytest.mark.parametrize("batch_size", [1, 2])
def test_one_start_and_one_label_for_each_picture(nets: Nets, batch_size: int) -> None:
    g, d = nets
    x, y = torch.rand(2, 3, 16, 16) * 2 - 1, torch.tensor([0, 1])
    for rows in (1, 3):
        with pytest.raises(PhotograftError, match="labels for 2 pictures"):
            search(g, d, x, torch.zeros(rows, dtype=torch.int64), steps=0, batch_size=batch_size)
        with pytest.raises(PhotograftError, match="initial latents"):
            search(g, d, x, y, init=torch.zeros(rows, 8), steps=0, batch_size=batch_size)


def test_a_falling_rate(nets: Nets) -> None:
    g, d = nets
    x, y, start = torch.rand(1, 3, 16, 16) * 2 - 1, torch.tensor([0]), torch.randn(1, 8)
    found = search(g, d, x, y, init=start, steps=4, schedule="falling", learning_rate=0.1, keep="last")
    z = start.clone().requires_grad_()
    adam = torch.optim.Adam([z], betas=(0.6, 0.95))
    objective = Objective(prepare(g), prepare(d), x, y)
    for rate in (0.1, 0.075, 0.05, 0.025):
        _, z.grad = objective.gradient(z, torch.tensor([0]))
        adam.param_groups[0]["lr"] = rate
        adam.step()
    torch.testing.assert_close(found.latent, z.detach(), rtol=1e-3, atol=1e-4)
    steady = search(g, d, x, y, init=start, steps=4, learning_rate=0.1, keep="last")
    assert (found.latent - steady.latent).abs().max() > 0.01


def test_early_stop_is_per_picture(nets: Nets) -> None:
    g, d = nets
    y, z = torch.tensor([0, 1]), torch.randn(2, 8)
    x = g(z, y)
    start = torch.stack([z[0], torch.randn(8)])  # the first is there already
    found = search(g, d, x, y, init=start, steps=40, patience=3)
    assert found.iterations[0] == 3
    assert found.iterations[1] > 3
    assert found.loss[0] < 1e-5
    assert torch.isnan(found.feature_curve[4:, 0]).all()
    alone = search(g, d, x[1:], y[1:], init=start[1:], steps=40, patience=3)
    assert alone.iterations[0] == found.iterations[1]


def test_restarts_are_pruned_and_only_help(nets: Nets, monkeypatch: pytest.MonkeyPatch) -> None:
    g, d = nets
    y = torch.tensor([0, 1])
    x = g(torch.randn(2, 8), y)
    sizes: list[int] = []
    original = Objective.gradient

    def counted(self: Objective, variable: Tensor, rows: Tensor) -> object:
        sizes.append(len(variable))
        return original(self, variable, rows)

    monkeypatch.setattr(Objective, "gradient", counted)
    many = search(g, d, x, y, steps=32, restarts=4, init="mean", batch_size=2)
    assert sizes[::HALVING][:4] == [10, 6, 4, 2]
    assert search(g, d, x, y, steps=0, restarts=4, init="mean").iterations.tolist() == [0, 0]
    one = search(g, d, x, y, steps=32, init="mean")
    assert many.loss.mean() <= one.loss.mean() + 1e-5
    again = search(g, d, x, y, steps=32, restarts=4, init="mean", batch_size=2)
    assert torch.allclose(many.latent, again.latent)


def test_keep_last(nets: Nets) -> None:
    g, d = nets
    y = torch.tensor([0])
    x = g(torch.randn(1, 8), y)
    last = search(g, d, x, y, steps=6, learning_rate=3.0, keep="last")
    best = search(g, d, x, y, steps=6, learning_rate=3.0)
    total = last.feature_curve + 0.2 * last.pixel_curve
    assert torch.allclose(last.loss, total[-1])
    assert torch.allclose(Objective(g, d, x, y)(last.latent, torch.tensor([0])).total, last.loss, atol=1e-5)
    assert best.loss <= last.loss


def test_zeta_and_encoder_and_any_features(nets: Nets) -> None:
    g, d = nets
    y = torch.tensor([0, 2])
    x = g(torch.randn(2, 8), y)
    auxiliary = AuxiliaryNetworks(8, zeta_dim=20, hidden_a=12, hidden_b=12)

    class Small:
        """Features at another size, and no module at all."""

        def features(self, x: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(x, 4)

    found = search(g, Small(), x, y, space="zeta", auxiliary=auxiliary, steps=5)
    assert found.zeta is not None
    assert found.zeta.shape == (2, 20)
    assert torch.allclose(auxiliary.to_z(found.zeta), found.latent, atol=1e-6)
    assert all(p.requires_grad and p.grad is None for p in auxiliary.parameters())
    assert search(g, d, x, torch.eye(3)[y], steps=2).latent.shape == (2, 8)  # weights of classes


@pytest.mark.parametrize("space", ["z", "zeta"])
def test_max_norm_holds_z_in_the_ball(nets: Nets, space: str) -> None:
    g, d = nets
    y = torch.tensor([0, 2])
    x = g(4 * torch.randn(2, 8), y)
    options = {"auxiliary": AuxiliaryNetworks(8, zeta_dim=20, hidden_a=12, hidden_b=12), "space": space, "steps": 12}
    start = {"init": torch.full((2, 8), 2.0), "learning_rate": 0.3}
    free = search(g, d, x, y, **options, **start)  # type: ignore[arg-type]
    held = search(g, d, x, y, max_norm=1.5, **options, **start, keep="last")  # type: ignore[arg-type]
    assert free.latent.norm(dim=1).max() > 1.6
    assert held.latent.norm(dim=1).max() < 1.5 + 1e-5
    assert torch.allclose(Objective(g, d, x, y)(held.latent, torch.arange(2)).total, held.loss, atol=1e-5)
    assert (held.feature_curve[-1] < held.feature_curve[1]).all(), "the descent goes on at the border of the ball"
    wide = search(g, d, x, y, max_norm=1e6, **options, **start)  # type: ignore[arg-type]
    assert torch.equal(wide.latent, free.latent)


def test_gradient_on_zeta_goes_through_the_ball(nets: Nets) -> None:
    """Against differences: a gradient that stops at the factor would keep its radial part."""
    g = copy.deepcopy(nets[0]).double()
    auxiliary = AuxiliaryNetworks(8, zeta_dim=20, hidden_a=12, hidden_b=12).double().freeze()
    x, y = torch.rand(1, 3, 16, 16).double() * 2 - 1, torch.tensor([1])
    zeta, direction = torch.randn(1, 20).double(), torch.randn(1, 20).double()
    radius = 0.5 * float(auxiliary.to_z(zeta).norm())
    objective = Objective(g, Pixels(), x, y, auxiliary=auxiliary, max_norm=radius)  # type: ignore[arg-type]
    _, gradient = objective.gradient(zeta, torch.tensor([0]))
    ahead, behind = (objective(zeta + h * direction, torch.tensor([0])).total for h in (1e-3, -1e-3))
    assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-3, rel=1e-2)
    assert objective.space.to_latent(zeta).norm().item() == pytest.approx(radius)


@pytest.mark.parametrize("space", ["z", "zeta"])
def test_hold_draws_variables_back(nets: Nets, space: str) -> None:
    g, d = nets
    auxiliary = AuxiliaryNetworks(8, zeta_dim=20, hidden_a=12, hidden_b=12) if space == "zeta" else None  # no biases
    x, y = torch.rand(2, 3, 16, 16) * 2 - 1, torch.tensor([1, 0])
    objective = Objective(g, d, x, y, auxiliary=auxiliary, max_norm=1.0)
    variable = torch.randn(2, 20 if auxiliary else 8)
    long = auxiliary.to_z(variable) if auxiliary else variable
    variable = variable * torch.tensor([[3.0], [0.5]]) / long.norm(dim=1, keepdim=True)
    held = objective.hold(variable)
    z = auxiliary.to_z(held) if auxiliary else held
    assert z.norm(dim=1).tolist() == pytest.approx([1.0, 0.5], abs=1e-5)
    assert torch.equal(held[1], variable[1])
    assert Objective(g, d, x, y, auxiliary=auxiliary).hold(variable) is variable


def test_draw_to_ball_at_and_inside() -> None:
    z = torch.tensor([[0.0, 0.0], [0.3, 0.4], [3.0, 4.0]], requires_grad=True)
    drawn = draw_to_ball(z, 1.0)
    assert torch.allclose(drawn, torch.tensor([[0.0, 0.0], [0.3, 0.4], [0.6, 0.8]]))
    (gradient,) = torch.autograd.grad(drawn.sum(), z)
    assert torch.allclose(gradient[:2], torch.ones(2, 2))
    assert (gradient[2] * z[2]).sum().item() == pytest.approx(0, abs=1e-6)


class Pixels:
    """Features that are the picture."""

    def features(self, x: Tensor) -> Tensor:
        return x


def test_reduced_precision_stays_near(nets: Nets) -> None:
    g, d = nets
    y = torch.tensor([0, 1])
    x, z = g(torch.randn(2, 8), y), torch.randn(2, 8)
    exact = search(g, d, x, y, init=z, steps=10)
    layout = search(g, d, x, y, init=z, steps=10, channels_last=True)
    reduced = search(g, d, x, y, init=z, steps=10, channels_last=True, dtype=torch.bfloat16)
    assert torch.allclose(exact.latent, layout.latent, atol=1e-3)
    assert reduced.latent.dtype == torch.float32
    assert (reduced.loss - exact.loss).abs().max() < 0.1 * exact.loss.max() + 0.02


def test_progress_is_reported(nets: Nets) -> None:
    g, d = nets
    y = torch.tensor([0])
    seen: list[tuple[str, int, int]] = []
    search(g, d, g(torch.randn(1, 8), y), y, steps=3, progress=lambda *a: seen.append(a))
    assert [s[1:] for s in seen] == [(1, 3), (2, 3), (3, 3)]
    losses = [float(s[0].removeprefix("projecting, loss ")) for s in seen]
    assert losses[0] >= losses[2]


def test_class_is_found(nets: Nets) -> None:
    g, d = nets
    z = torch.randn(2, 8)
    x = g(z, torch.tensor([2, 0]))

    class Features:
        def features(self, x: Tensor) -> Tensor:
            return x

    ranking = rank_classes(g, Features(), x, steps=40, chunk=2)
    assert [r[0].label for r in ranking] == [2, 0]
    assert all(sorted(c.label for c in r) == [0, 1, 2] for r in ranking)
    alone = rank_classes(g, d, x, shortlist=0)
    assert [r[0].label for r in alone] == torch.stack([d(x, torch.tensor([c, c])) for c in range(3)]).argmax(0).tolist()
    assert all(c.loss != c.loss for r in alone for c in r)
    scored = rank_classes(g, d, x, [1, 2], shortlist=1, steps=2)
    assert all(a.score >= b.score and a.loss == a.loss and b.loss != b.loss for a, b in scored)
    with pytest.raises(PhotograftError, match="candidate"):
        rank_classes(g, d, x, [3])


def test_bad_input_is_refused(nets: Nets) -> None:
    g, d = nets
    y, x = torch.tensor([0]), torch.zeros(1, 3, 16, 16)
    for target, options, words in (
        (x[..., :8], {}, "pictures must be"),
        (x[:0], {}, "pictures must be"),
        (x + 2, {}, r"\[-1,1\]"),
        (x * torch.nan, {}, r"\[-1,1\]"),
        (x, {"space": "w"}, "space"),
        (x, {"space": "zeta"}, "auxiliary"),
        (x, {"init": "encoder"}, "encoder"),
        (x, {"init": "zero"}, "init is 'zero'"),
        (x, {"init": torch.zeros(1, 9)}, "initial latents"),
        (x, {"keep": "first"}, "keep"),
        (x, {"max_norm": 0.0}, "max_norm"),
    ):
        with pytest.raises(PhotograftError, match=words):
            search(g, d, target, y, **options)
    with pytest.raises(PhotograftError, match="class indices"):
        search(g, d, x, torch.tensor([5]))
    broken = SNGANGenerator(**g.config)
    nn.init.constant_(broken.linear.weight, torch.nan)
    with pytest.raises(PhotograftError, match="not a number"):
        search(broken, d, x, y, steps=2)


def test_the_nearest_of_a_few_samples_is_a_start(nets: Nets) -> None:
    """Each picture's own, whatever others there are; of pictures of samples these themselves."""
    g, d = nets
    z = g.sample_latent(17, torch.Generator().manual_seed(3))
    y = torch.tensor([1, 0])
    with torch.no_grad():
        x = g(z[[4, 9]], y)
    found = search(g, d, x, y, steps=0, init="samples", seed=3)
    assert torch.equal(found.latent, z[[4, 9]])
    assert (found.loss < 1e-4).all()
    alone = search(g, d, x[1:], y[1:], steps=0, init="samples", seed=3)
    assert torch.equal(alone.latent, found.latent[1:])
    worse = search(g, d, x, y, steps=0, init="random", seed=3)
    assert (worse.loss > found.loss).all()
