from __future__ import annotations

import importlib.util
from pathlib import Path

import dlib
import numpy as np
import pytest
import torch
from skimage import data

from vtoon.errors import VtoonError
from vtoon.image import to_tensor
from vtoon.models.face_embedding import (
    CHIP_POINTS,
    CHIP_SIZE,
    FEATURE_LAYERS,
    SAME_PERSON,
    FaceEmbedding,
    chip_matrix,
    face_chip,
    face_chips,
)
from vtoon.types import Landmarks
from vtoon.weights.dlib_embedding import FILE, PACKAGE, load_face_embedding

WEIGHTS = Path(importlib.util.find_spec(PACKAGE).origin).parent / FILE
EYE_CORNERS_AND_NOSE = ((252, 106), (237, 107), (196, 112), (209, 111), (229, 139))  # of the astronaut, px


@pytest.fixture(scope="module")
def embedding() -> FaceEmbedding:
    return load_face_embedding()


@pytest.fixture(scope="module")
def landmarks() -> Landmarks:
    points = np.zeros((68, 2))
    points[list(CHIP_POINTS)] = EYE_CORNERS_AND_NOSE
    return Landmarks(points)


@pytest.fixture(scope="module")
def chip(landmarks) -> np.ndarray:
    return face_chip(data.astronaut(), landmarks)


def test_equals_dlib(embedding, chip):
    expected = np.array(dlib.face_recognition_model_v1(str(WEIGHTS)).compute_face_descriptor(chip))
    assert np.abs(embedding(to_tensor(chip))[0].numpy() - expected).max() < 1e-4


def test_chip_has_dlibs_geometry(landmarks, chip):
    points = dlib.points([dlib.point(*p) for p in EYE_CORNERS_AND_NOSE])
    face = dlib.full_object_detection(dlib.rectangle(180, 60, 280, 180), points)
    expected = dlib.get_face_chip(data.astronaut(), face, size=CHIP_SIZE, padding=0.25)
    assert np.abs(chip.astype(float) - expected).mean() < 1  # half a pixel's shift gives 4


def test_same_face_stays_near_and_no_face_is_far(embedding, chip):
    mirrored = embedding(to_tensor(chip[:, ::-1]))
    noise = np.random.default_rng(0).integers(0, 256, chip.shape, np.uint8)
    original = embedding(to_tensor(chip))
    assert torch.dist(original, mirrored) < SAME_PERSON < torch.dist(original, embedding(to_tensor(noise)))


def test_gradient_reaches_the_image_and_no_weight(embedding, chip):
    x = to_tensor(chip).requires_grad_()
    embedding(x).square().sum().backward()
    assert x.grad.abs().max() > 0
    assert not any(p.requires_grad for p in embedding.parameters())


@pytest.mark.parametrize("size", [(64, 64), (97, 130), (160, 160)])
def test_features_take_any_size(embedding, size):
    x = torch.rand(2, 3, *size) * 2 - 1
    maps = embedding.features(x.requires_grad_())
    assert [m.shape[1] for m in maps] == [32, 32, 64, 128]
    assert all(m.shape[0] == 2 and m.min() >= 0 for m in maps)
    sum(m.mean() for m in maps).backward()
    assert x.grad.abs().max() > 0


def test_features_follow_a_shift_of_their_stride(embedding):
    x = torch.rand(1, 3, 160, 160) * 2 - 1
    stride = 8
    (a,), (b,) = embedding.features(x, (4,)), embedding.features(x[..., stride:], (4,))
    inner = slice(5, -5)
    torch.testing.assert_close(a[..., inner, 1:][..., inner], b[..., inner, : a.shape[3] - 1][..., inner])


def test_layers_are_checked(embedding):
    for layers in ((), (-1,), (15,)):
        with pytest.raises(ValueError, match=r"0\.\.14"):
            embedding.features(torch.zeros(1, 3, 64, 64), layers)
    assert len(embedding.features(torch.zeros(1, 3, 64, 64), FEATURE_LAYERS)) == 4


def test_differentiable_chips_equal_the_cut(landmarks, chip):
    image = data.astronaut()
    matrix = torch.from_numpy(chip_matrix(landmarks)).float()[None]
    x = to_tensor(image).requires_grad_()
    chips = face_chips(x, matrix)
    assert (chips - to_tensor(chip)).abs().mean() < 0.01
    chips.sum().backward()
    assert x.grad.abs().max() > 0


def test_large_faces_are_cut_without_aliasing(landmarks):
    checks = np.kron(np.indices((1024, 1024)).sum(0) % 2, np.ones((2, 2))).astype(np.uint8) * 255
    large = Landmarks(landmarks.points * 4)
    chip = face_chip(np.repeat(checks[..., None], 3, 2), large)
    assert chip.std() < 30 < checks.std()


def test_embed_is_the_whole_way(embedding, landmarks, chip):
    expected = embedding(to_tensor(chip))[0].numpy()
    np.testing.assert_array_equal(embedding.embed(data.astronaut(), landmarks), expected)


def test_foreign_and_missing_files_are_refused(tmp_path):
    foreign = tmp_path / "other.dat"
    foreign.write_bytes(WEIGHTS.read_bytes()[:100_000])
    with pytest.raises(VtoonError, match="not dlib's"):
        load_face_embedding(foreign)
    with pytest.raises(VtoonError, match="cannot read"):
        load_face_embedding(tmp_path / "absent.dat")
