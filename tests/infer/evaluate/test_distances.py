"""Distances with what chance adds to them: known values, and errors that are as large as draws differ."""

from pathlib import Path

import pytest
import torch
import torchvision

from infer.evaluate.distances import (
    SSIM_WEIGHTS,
    frechet_error,
    frechet_ratio,
    kid,
    load_lpips,
    mean_interval,
    ms_ssim,
    ssim_weights,
)
from models.errors import PhotograftError
from models.perception.efficientnet import EfficientNetLite0
from models.perception.judges import Gaussian, frechet

D = 8


def draw(n: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed)) * scale + shift


def test_a_gaussian_kept_gives_the_same_distance() -> None:
    a, b = draw(200, 0), draw(300, 1, 0.5)
    kept = Gaussian(b)
    assert kept.distance(Gaussian(a)) == pytest.approx(frechet(a, b), rel=1e-9)
    assert kept.distance(Gaussian(a)) == pytest.approx(frechet(b, a), rel=1e-9)


def test_the_error_is_how_much_draws_differ() -> None:
    target = draw(4000, 99)
    distances = torch.tensor([frechet(draw(400, seed, 0.5), target) for seed in range(30)])
    assert frechet_error(draw(400, 0, 0.5), target) == pytest.approx(float(distances.std()), rel=0.5)


def test_a_ratio_of_paired_sets() -> None:
    target, plain = draw(2000, 9), draw(500, 0, 0.5)
    value, (low, high) = frechet_ratio(plain, plain, target)
    assert [value, low, high] == pytest.approx([1, 1, 1])
    # mean (1, ...) instead of (0.5, ...): four times the square
    value, (low, high) = frechet_ratio(plain + 0.5, plain, target)
    assert value == pytest.approx(frechet(plain + 0.5, target) / frechet(plain, target), rel=1e-9)
    assert low < value < high
    assert low < 4 < high


def test_kid_is_unbiased() -> None:
    same = [kid(draw(60, seed), draw(60, 1000 + seed)).value for seed in range(20)]
    mean, error = torch.tensor(same).mean(), torch.tensor(same).std() / 20**0.5
    assert abs(float(mean)) < 3 * float(error)
    assert min(same) < 0
    other = kid(draw(200, 0, 0.5), draw(200, 1))
    assert other.value > 5 * other.error > 0
    x, y = draw(40, 0, 0.5).double(), draw(40, 1).double()
    kernel = lambda a, b: (a @ b.T / D + 1) ** 3  # noqa: E731
    off = ~torch.eye(40, dtype=torch.bool)
    exact = kernel(x, x)[off].mean() + kernel(y, y)[off].mean() - 2 * kernel(x, y).mean()
    assert kid(x.float(), y.float()).value == pytest.approx(float(exact), rel=0.2)  # the mean of random halves


def test_kid_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = kid(draw(40, 0), draw(40, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert kid(draw(40, 0), draw(40, 1)) == first


@pytest.mark.parametrize(("resolution", "scales"), [(8, 0), (32, 2), (64, 3), (128, 4), (256, 5)])
def test_scales_that_fit(resolution: int, scales: int) -> None:
    weights = ssim_weights(resolution)
    assert len(weights) == scales
    assert not scales or sum(weights) == pytest.approx(1)
    assert len(SSIM_WEIGHTS) == 5
    images = torch.rand(2, 3, resolution, resolution) * 2 - 1
    found = ms_ssim(images, images)
    assert bool(found.isnan().all()) if not scales else found.tolist() == pytest.approx([1, 1])


def test_structural_similarity_falls_with_noise() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.nn.functional.interpolate(torch.rand(3, 3, 8, 8, generator=random) * 2 - 1, (64, 64), mode="bicubic")
    found = [ms_ssim((images + s * torch.randn(images.shape, generator=random)), images) for s in (0.05, 0.2, 0.8)]
    assert bool((found[0] > found[1]).all())
    assert bool((found[1] > found[2]).all())


def test_lpips_by_weights_that_lie_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    file = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url.rsplit("/", 1)[1]
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), folder / file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    lpips = load_lpips("squeeze")
    assert lpips(images, images).tolist() == [0, 0, 0]
    near, far = lpips(images + 0.05, images), lpips(-images, images)
    assert near.shape == (3,)
    assert bool((near < far).all())


def test_lpips_without_weights_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(PhotograftError, match="leave --lpips out"):
        load_lpips("squeeze")
    with pytest.raises(PhotograftError, match="did you mean squeeze"):
        load_lpips("squeze")


def test_interval_of_a_mean() -> None:
    values = draw(500, 0, 2.0)[:, 0]
    low, high = mean_interval(values)
    assert low < float(values.mean()) < high
    assert high - low == pytest.approx(2 * 1.96 * float(values.std()) / 500**0.5, rel=0.15)


def test_the_second_judge_knows_a_cat() -> None:
    from skimage import data

    cat = torch.from_numpy(data.cat()[20:280, 100:360].copy()).permute(2, 0, 1)[None]
    network = EfficientNetLite0()
    assert network(cat).shape == (1, 1280)
    assert int(network.logits(cat).argmax()) in range(281, 286)  # ImageNet's domestic cats
