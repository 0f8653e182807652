from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import Raft_Small_Weights, raft_small

from vtoon.errors import VtoonError
from vtoon.flow import backward_warp, estimate_flow, find_estimator
from vtoon.flow.estimate import DIS_AREA, RaftFlow


def texture(height: int, width: int) -> np.ndarray:
    grain = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)


def moved(image: np.ndarray, matrix: list[list[float]]) -> np.ndarray:
    size = image.shape[1::-1]
    return cv2.warpAffine(image, np.float32(matrix), size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def inner(flow: np.ndarray) -> np.ndarray:
    return flow[:, 24:-24, 24:-24]


@pytest.mark.parametrize("x, y", [(0, 0), (4, -3), (-9, 6), (1.5, 0.5)])
def test_a_known_shift_is_found(x, y):
    source = texture(160, 240)
    flow = estimate_flow(source, moved(source, [[1, 0, x], [0, 1, y]]))
    assert flow.shape == (2, 160, 240)
    assert flow.dtype == np.float32
    assert np.abs(inner(flow) - np.float32([x, y]).reshape(2, 1, 1)).mean() < 0.2


def test_the_flow_leads_from_source_to_target():
    source = texture(160, 240)
    target = moved(source, [[1.04, 0.02, -4], [-0.02, 1.04, -2]])
    brought = backward_warp(target, estimate_flow(source, target))
    error = np.abs(brought.astype(float) - source)[24:-24, 24:-24].mean()
    assert error < 0.2 * np.abs(target.astype(float) - source)[24:-24, 24:-24].mean()


def test_large_frames_keep_their_units():
    source = texture(640, 960)
    assert source[..., 0].size > 3 * DIS_AREA
    flow = estimate_flow(source, moved(source, [[1, 0, 12], [0, 1, -8]]))
    assert flow.shape == (2, 640, 960)
    assert np.abs(inner(flow) - np.float32([12, -8]).reshape(2, 1, 1)).mean() < 0.5


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 300, 3), (33, 17, 3), (50, 60)])
def test_any_size_and_grey(shape):
    image = np.zeros(shape, np.uint8)
    assert np.abs(estimate_flow(image, image)).max() < 0.1
    assert estimate_flow(image, image).shape == (2, *shape[:2])


def test_unequal_frames_are_refused():
    a = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(ValueError, match="one size"):
        estimate_flow(a, a[:, :-1])
    with pytest.raises(ValueError, match="uint8"):
        estimate_flow(a.astype(np.float32), a.astype(np.float32))


@pytest.fixture
def raft_folder(tmp_path):
    """A folder with untrained weights under the name torchvision would cache them as."""
    torch.manual_seed(0)
    name = Raft_Small_Weights.DEFAULT.url.rsplit("/", 1)[1]
    torch.save(raft_small(weights=None).state_dict(), tmp_path / name)
    return tmp_path


def test_raft_takes_any_size(raft_folder):
    (weights,) = raft_folder.iterdir()
    image = texture(72, 101)
    flow = RaftFlow(weights, "cpu")(image, image)
    assert flow.shape == (2, 72, 101)
    assert flow.dtype == np.float32


def test_raft_needs_a_gpu_and_its_weights(raft_folder, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(RaftFlow, "__init__", lambda self, weights, device: None)
    assert find_estimator("cpu", raft_folder) is estimate_flow
    assert find_estimator("cuda", tmp_path_factory.mktemp("empty")) is estimate_flow
    assert isinstance(find_estimator("cuda", raft_folder), RaftFlow)


def test_foreign_weights_are_refused(tmp_path):
    foreign, text = tmp_path / "raft_small.pth", tmp_path / "raft_large.pth"
    torch.save({"other": torch.zeros(1)}, foreign)
    text.write_text("not a checkpoint")
    for path in (foreign, text):
        with pytest.raises(VtoonError, match=f"not torchvision's weights for {path.stem}"):
            RaftFlow(path, "cpu")
