"""SN projection discriminators and the feature loss against the original."""

import pytest
import torch
from torch import Tensor, nn

from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.layers.spectral_norm import SpectralNorm
from models.losses import feature_distance, pixel_distance, psi
from models.prepared import prepare
from tests.collage_fixtures import DISCRIMINATOR, Fixture, names, network


def links(d: SNProjectionDiscriminator) -> dict[str, nn.Module]:
    """The original's names of the layers with spectral norm."""
    found: dict[str, nn.Module] = {f"l{len(d.blocks) + 1}": d.linear}
    if d.embedding is not None:
        found["l_y"] = d.embedding
    for i, block in enumerate(d.blocks, start=1):
        found |= {f"block{i}.c1": block.conv1, f"block{i}.c2": block.conv2}
        if block.skip is not None:
            found[f"block{i}.c_sc"] = block.skip
    return found


def spectral(module: nn.Module) -> SpectralNorm:
    norm = module.spectral_norm
    assert isinstance(norm, SpectralNorm)
    return norm


def original_test_mode(d: SNProjectionDiscriminator) -> None:
    """The original's u of linear and embedding layers moves in evaluation too."""
    for module in (d.linear, d.embedding):
        if module is not None:
            module.train()


NAMES = [n for n in names("dis_") if "concat" not in n]


@pytest.mark.parametrize("name", NAMES)
def test_evaluation(name: str, subtests: pytest.Subtests) -> None:
    d: SNProjectionDiscriminator = network(name, "discriminator")
    fixture = Fixture(name)
    x = fixture.get("x")
    y = fixture.get("y") if "y" in fixture else None
    features: list[Tensor] = []
    for block in d.blocks:
        block.register_forward_hook(lambda _m, _i, out: features.append(out))
    with torch.no_grad():
        pooled = d.features(x)
        for i, feature in enumerate(features, start=1):
            (key,) = fixture.keys(f"feat_block{i}_")
            fixture.check(key, feature, **DISCRIMINATOR)
        if "feature_vector" in fixture:
            fixture.check("feature_vector", pooled.flatten(1), **DISCRIMINATOR)
        if "score_noclass" in fixture:
            fixture.check("score_noclass", d(x), **DISCRIMINATOR)
        for _ in range(2):  # no hidden state in evaluation
            fixture.check_if_held(subtests, "score_test_call1", d(x, y), **DISCRIMINATOR)
        for link, module in links(d).items():
            weight = module.weight
            assert isinstance(weight, Tensor)
            used = (weight.flatten(1)[0] / spectral(module)(weight).flatten(1)[0]).median()
            exact = torch.linalg.svdvals(weight.flatten(1))[0]
            fixture.check(f"sigma__{link}", torch.stack([used, exact]), **DISCRIMINATOR)
        original_test_mode(d)
        for call in (1, 2):
            fixture.check_if_held(subtests, f"score_test_call{call}", d(x, y), **DISCRIMINATOR)
            for key in fixture.keys(f"u_test{call}__"):
                fixture.check(key, spectral(links(d)[key.split("__")[1]]).u, **DISCRIMINATOR)
    left = {key for key in fixture.left if not key.startswith(("score_train", "train_", "u_train", "gradnorm"))}
    assert not left


@pytest.mark.parametrize("name", NAMES)
def test_training(name: str) -> None:
    d: SNProjectionDiscriminator = network(name, "discriminator").train().requires_grad_()
    fixture = Fixture(name)
    x = fixture.get("x").requires_grad_()
    y = fixture.get("y") if "y" in fixture else None
    score = d(x, y)
    fixture.check("score_train", score, **DISCRIMINATOR)
    score.sum().backward()
    assert x.grad is not None
    (key,) = fixture.keys("train_grad_x_item0")
    fixture.check(key, x.grad, **DISCRIMINATOR)
    fixture.check("train_grad_x_norm", x.grad.norm(), **DISCRIMINATOR)
    for link, module in links(d).items():
        fixture.check(f"u_train1__{link}", spectral(module).u, **DISCRIMINATOR)
        for ours, theirs in (("weight", "W"), ("bias", "b")):
            if getattr(module, ours, None) is not None:
                gradient = getattr(module, ours).grad.norm()
                fixture.check(f"gradnorm__{link}.{theirs}", gradient, rtol=1e-4, atol=1e-5)
    assert all(key.startswith(("feat_", "feature_", "score_", "sigma_", "u_test")) for key in fixture.left)


@pytest.mark.parametrize("name", NAMES)
def test_folded_equals_unfolded(name: str) -> None:
    d: SNProjectionDiscriminator = network(name, "discriminator")
    fixture = Fixture(name)
    x, y = fixture.get("x"), fixture.get("y") if "y" in fixture else None
    folded = prepare(d)
    assert not any(p.requires_grad for p in folded.parameters())
    with torch.no_grad():
        assert torch.equal(folded.features(x), d.features(x))
        assert torch.equal(folded(x, y), d(x, y))
        assert folded.linear.weight.data_ptr() != d.linear.weight.data_ptr()


@pytest.mark.parametrize("name", names("loss_"))
def test_feature_loss(name: str) -> None:
    with Fixture(name) as fixture:
        d: SNProjectionDiscriminator = network("dis_" + name.removeprefix("loss_"), "discriminator")
        recon, gt = fixture.get("recon").requires_grad_(), fixture.get("gt")
        v_recon, v_gt = d.features(recon), d.features(gt)
        fixture.check("v_recon", v_recon.flatten(1), **DISCRIMINATOR)
        fixture.check("v_gt", v_gt.flatten(1), **DISCRIMINATOR)
        loss = feature_distance(psi(v_recon), psi(v_gt))  # [N]
        fixture.check("loss_per_sample", loss - 1, **DISCRIMINATOR)  # the original's is -cos
        for key in ("loss_reconstruction_sum", "loss_updater_enc", "loss_updater_auxab"):
            fixture.check(key, (loss - 1).sum(), **DISCRIMINATOR)
        fixture.check("loss_pixel_mean", pixel_distance(recon, gt).mean(), **DISCRIMINATOR)
        (gradient,) = torch.autograd.grad(loss.sum(), recon)
        fixture.check("grad_recon_stride2", gradient, **DISCRIMINATOR)
        fixture.check("grad_recon_norm", gradient.norm(), **DISCRIMINATOR)
