"""KID, FID, precision and recall, against what is known of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from vtoon.errors import VtoonError
from vtoon.models.stylegan2 import Generator
from vtoon.train import quality as module
from vtoon.train.dataset import Dataset
from vtoon.train.quality import Features, Quality, fid, kid, precision_recall, read_metrics

CPU = torch.device("cpu")


def exact(n, mean, cov, seed=0):
    """[n, D] float64 whose mean and covariance are exactly these."""
    x = torch.randn(n, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x -= x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)).T)
    return x @ torch.linalg.cholesky(cov).T + mean


def a_covariance(seed):
    a = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return a @ a.T + 0.1 * torch.eye(6)


def test_the_same_set_has_no_distance():
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    assert fid(x, x) < 1e-9 and precision_recall(x, x) == (1.0, 1.0)
    a, b = x.chunk(2)
    assert abs(kid(a, b)) < 0.1 < kid(a, b + 1) < kid(a, b + 2)


def test_fid_of_shifted_gaussians_is_the_square_of_the_shift():
    cov, zero = a_covariance(1), torch.zeros(6, dtype=torch.float64)
    shift = torch.arange(6, dtype=torch.float64)
    assert fid(exact(300, zero, cov), exact(400, shift, cov, 1)) == pytest.approx(float(shift @ shift), rel=1e-8)


def test_fid_of_gaussians_is_the_closed_form():
    zero = torch.zeros(6, dtype=torch.float64)
    diagonal = [torch.tensor([1.0, 4, 9, 16, 25, 36]).double(), torch.tensor([4.0, 4, 1, 1, 49, 0.25]).double()]
    wanted = float((diagonal[0].sqrt() - diagonal[1].sqrt()).square().sum())  # of covariances that commute
    assert fid(*(exact(200, zero, torch.diag(d), i) for i, d in enumerate(diagonal))) == pytest.approx(wanted, rel=1e-8)
    a, b = a_covariance(2), a_covariance(3)
    root = np.sqrt(np.linalg.eigvals((a @ b).numpy()).real).sum()
    wanted = float(a.trace() + b.trace()) - 2 * root
    assert fid(exact(200, zero, a), exact(200, zero, b, 1)) == pytest.approx(wanted, rel=1e-6)
    assert fid(torch.ones(5, 1), torch.full((5, 1), 3.0)) == pytest.approx(4.0)


def test_kid_of_two_points_is_the_kernel_s():
    a, b = torch.tensor([[1.0, 0.0]]).repeat(4, 1), torch.tensor([[0.0, 1.0]]).repeat(4, 1)
    assert kid(a, b) == pytest.approx(2 * (0.5 + 1) ** 3 - 2 * 1.0)


def test_precision_and_recall_of_constructed_sets():
    line = torch.arange(20.0)[:, None]
    near, far = line[:10] + 0.1, line[:10] + 1000
    assert precision_recall(line, near) == (1.0, 13 / 20)  # 0 to 12: near goes to 9.1 and reaches 3 further
    assert precision_recall(line, far) == (0.0, 0.0)
    assert precision_recall(line, torch.cat([near, far]))[0] == 0.5
    one_picture = torch.full((20, 1), 7.0)  # a generator that draws one good picture: precise, and nothing else
    precision, recall = precision_recall(line, one_picture)
    assert precision == 1.0 and recall == 1 / 20


def test_names_of_metrics():
    assert read_metrics("auto") == ("kid", "fid", "pr") and read_metrics("none") == ()
    assert read_metrics("fid50k_full, kid,pr50k3_full") == ("fid", "kid", "pr")
    with pytest.raises(VtoonError, match=r"'is50k' is none of kid, fid, pr"):
        read_metrics("kid,is50k")


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "d.npy", rng.integers(0, 255, (12, 8, 8, 3), dtype=np.uint8))
    return Dataset(tmp_path / "d.npy", 8)


def test_a_generator_is_measured_the_same_every_time(data):
    torch.manual_seed(0)
    net = Generator(8, channels={4: 4, 8: 4})
    measure = Quality(data, CPU, ("kid", "pr"), Features("colours", lambda x: x.mean((2, 3))))
    first, again = measure(net), measure(net)
    assert first == again and list(first) == ["KID by colours", "precision by colours", "recall by colours"]
    assert measure.name == "KID, precision and recall by colours" and measure.count == 12


def test_style_is_told_from_persons():
    """By the first features another drawing of the same persons is far, other persons drawn alike are near."""
    rng = np.random.default_rng(0)

    def pictures(inked: bool) -> torch.Tensor:
        calm = [cv2.GaussianBlur(rng.random((64, 64, 3), np.float32), (0, 0), 6) for _ in range(24)]
        faces = np.stack([(x - x.min()) / (x.max() - x.min()) for x in calm])
        faces = np.where(np.abs(faces - 0.5) < 0.05, 0, np.round(faces * 3) / 3) if inked else faces
        return torch.from_numpy(faces.astype(np.float32)).permute(0, 3, 1, 2) * 2 - 1

    features = module.find_features(CPU, style=True)
    assert features.name == module.STYLE_STAND_IN
    photos, others, drawings = (features.of(x) for x in (pictures(False), pictures(False), pictures(True)))
    spread = photos.std(0)
    near, far = (kid((photos - photos.mean(0)) / spread, (x - photos.mean(0)) / spread) for x in (others, drawings))
    assert abs(near) < 0.05 * far


class SmallInception(nn.Module):
    """As torchvision's on the outside."""

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 7)

    def forward(self, x):
        assert x.shape[2:] == (299, 299)
        return self.fc(x.mean((2, 3)))


def test_torchvision_s_weights_are_taken_where_they_lie_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDERS", (tmp_path,))
    assert module.find_features(CPU).name == module.STAND_IN
    monkeypatch.setattr("torchvision.models.inception_v3", SmallInception)
    torch.save(SmallInception().state_dict(), tmp_path / module.VISION_WEIGHTS)
    features = module.find_features(CPU)
    assert features.name == "torchvision's Inception" and not features.own_units
    middle = torch.tensor(module.VISION_MEAN)[:, None, None].expand(1, 3, 16, 16) * 2 - 1
    assert features.of(middle).abs().max() < 1e-5  # what ImageNet's mean becomes, without the last layer
