from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_samples import face_at, portrait, published_cases, published_landmarks
from hypothesis import given, settings
from hypothesis import strategies as st

from vtoon.errors import VtoonError
from vtoon.faces import crop_face, pad_to_multiple, published_crop
from vtoon.types import CropBox, Landmarks

BLUR = np.array([0.125, 0.375, 0.375, 0.125], np.float32)


@pytest.mark.parametrize("case", range(len(published_cases())))
def test_published_crop_matches_vtoonify_to_the_integer(case):
    numbers = published_cases()[case]
    size = numbers["image_height"], numbers["image_width"]
    for name, expected in numbers.items():
        if name.startswith("crop_padding_"):
            padding = tuple(int(p) for p in name.removeprefix("crop_padding_").split("_"))
            box = published_crop(published_landmarks(case), size, padding)
            got = {"h": box.height, "w": box.width}
            got |= {edge: getattr(box, edge) for edge in ("top", "bottom", "left", "right")}
            assert got == {key: value for key, value in expected.items() if key != "scale"}
            assert box.scale == pytest.approx(expected["scale"], abs=1e-12)


def test_published_crop_scales_with_the_wanted_eye_distance():
    face = face_at(400, 300, 100)
    small, large = (published_crop(face, (800, 800), eye_distance=d) for d in (64, 128))
    assert large.scale == pytest.approx(2 * small.scale)


@pytest.mark.parametrize("turn", [180, 90])
def test_eyes_that_are_not_side_by_side_are_refused(turn):
    points = face_at(0, 0, 60).points
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    face = Landmarks(points @ np.array([[cos, sin], [-sin, cos]]) + 200)
    with pytest.raises(VtoonError, match="eyes are"):
        published_crop(face, (400, 400))


def test_a_padding_that_leaves_nothing_is_refused():
    with pytest.raises(VtoonError, match="padding"):
        published_crop(face_at(100, 100, 64), (200, 200), (0, 0, 0, 0))


def whole_frame_way(image: np.ndarray, box: CropBox) -> np.ndarray:
    """The published order of things: blur all, resize all, cut."""
    blurs = (box.scale <= 0.75) + (box.scale <= 0.375)
    for _ in range(blurs):
        image = cv2.sepFilter2D(image, -1, BLUR, BLUR)
    sx, sy, shift = image.shape[1] / box.width, image.shape[0] / box.height, blurs / 2 - 0.5
    if not blurs:
        resized = cv2.resize(image, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
    else:  # four taps move the picture by half a px
        matrix = np.array([[sx, 0, sx / 2 + shift], [0, sy, sy / 2 + shift]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        resized = cv2.warpAffine(image, matrix, (box.width, box.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return resized[box.top : box.bottom, box.left : box.right]


@given(scale=st.floats(0.1, 3.0), corner=st.tuples(st.floats(0, 0.8), st.floats(0, 0.8)), share=st.floats(0.15, 1))
@settings(deadline=None, max_examples=40)
def test_crop_face_has_the_pixels_of_the_whole_resized_frame(scale, corner, share):
    image = portrait()[:390, :301]
    height, width = round(390 * scale), round(301 * scale)
    left, top = int(corner[0] * width) // 8 * 8, int(corner[1] * height) // 8 * 8
    right, bottom = (first + max(int(share * (end - first)), 1) for first, end in ((left, width), (top, height)))
    box = CropBox(scale, height, width, left, top, right, bottom)
    crop, expected = crop_face(image, box), whole_frame_way(image, box)
    assert crop.shape == expected.shape == (*box.size, 3)
    # OpenCV before 5 samples a warp at 1/32 px and a resize at 1/2048 px.
    difference = np.abs(crop.astype(int) - expected)
    assert difference.mean() < 0.5 and difference.max() <= 6


def test_a_crop_at_the_frames_own_size_is_untouched():
    image = portrait()
    assert (crop_face(image, CropBox(1.0, 512, 512, 8, 16, 104, 216)) == image[16:216, 8:104]).all()


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 4, 8, 32]))
@settings(deadline=None, max_examples=60)
def test_pad_to_multiple_reflects_and_can_be_cut_back(height, width, multiple):
    image = np.random.default_rng(height * 71 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    padded, (h, w) = pad_to_multiple(image, multiple)
    assert (h, w) == (height, width) and (padded[:h, :w] == image).all()
    assert padded.shape[0] % multiple == 0 == padded.shape[1] % multiple
    assert 0 <= padded.shape[0] - height < multiple and 0 <= padded.shape[1] - width < multiple
    if 0 < padded.shape[1] - width <= width:  # enough to reflect
        margin = padded.shape[1] - width
        assert (padded[:height, width:] == image[:, ::-1][:, :margin]).all()


@pytest.mark.parametrize("scale", [1.3, 0.9, 0.75, 0.5, 0.375, 0.3])
def test_as_published_it_is_the_published_steps_with_opencv(scale):
    """VToonify: the whole frame is smoothed with a kernel of four, once or twice, resized, cut."""
    image = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8), (0, 0), 2)
    height, width = round(480 * scale), round(640 * scale)
    box = CropBox(scale, height, width, 24, 32, 104, 120)
    kernel, smooth = np.array([[0.125], [0.375], [0.375], [0.125]]), image
    for below in (0.75, 0.375):
        if scale <= below:
            smooth = cv2.sepFilter2D(smooth, -1, kernel, kernel)
    wanted = cv2.resize(smooth, (width, height))[box.top : box.bottom, box.left : box.right]
    got = crop_face(image, box, as_published=True)
    assert np.abs(got.astype(int) - wanted).max() <= 2
