"""Contracts of the stylizers: pure, deterministic, scale covariant, distinct, and warps that never fold."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from vtoon.errors import VtoonError
from vtoon.faces.traits import LOWERED, MEAN, exaggeration
from vtoon.train.looks import LOOKS, PALETTES, SHAPES, stylize, warp_offsets
from vtoon.train.looks.regions import Face
from vtoon.train.looks.tone import to_lab
from vtoon.types import Landmarks

# dlib's 68 points of skimage.data.astronaut(), x then y
ASTRONAUT = """
179 104 179 116 180 127 181 139 185 151 191 160 200 169 209 176 221 178 232 177 243 171 253 164 260 154 265 144
268 132 270 120 272 108 186 94 192 88 200 87 208 89 216 92 236 93 244 91 252 91 260 92 265 98 225 103 225 111
225 119 225 127 214 131 219 132 224 134 229 133 234 132 195 101 200 98 207 98 212 104 206 104 199 104 238 105 244 101
250 101 255 104 250 107 244 106 201 140 209 139 218 139 223 141 229 140 237 140 245 141 237 151 229 155 222 156 216 155
208 150 204 141 217 143 223 144 229 143 243 142 229 150 223 150 217 150
"""
LEFT, TOP, SIDE = 128, 24, 192


@cache
def photo(scale: float = 1.5) -> tuple[np.ndarray, Landmarks]:
    """The astronaut's head and its landmarks, `scale` times as large as in the picture."""
    points = np.array(ASTRONAUT.split(), float).reshape(68, 2) - (LEFT, TOP)
    crop = data.astronaut()[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    size = round(SIDE * scale)
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_CUBIC), Landmarks(points * scale)


@cache
def drawing(look: str) -> np.ndarray:
    return LOOKS[look](*photo())


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two uint8 images, in levels of 255."""
    return float(np.abs(a.astype(np.int16) - b).mean())


def test_names() -> None:
    assert next(iter(LOOKS)) == "toon3d" and next(iter(PALETTES)) == "own"
    assert len(LOOKS) >= 7 and len(PALETTES) >= 4
    assert len(LOOKS) * len(PALETTES) >= 30
    assert set(SHAPES) == set(LOOKS)


@pytest.mark.parametrize("look", LOOKS)
def test_look_is_a_pure_function(look: str) -> None:
    image, landmarks = photo()
    before = image.copy()
    first = drawing(look)
    assert first.shape == image.shape and first.dtype == np.uint8
    assert np.array_equal(first, LOOKS[look](image, landmarks))
    assert np.array_equal(image, before)
    assert difference(first, image) > (3 if look == "toon3d" else 8)  # which leaves the scene as it is


@pytest.mark.parametrize("look", LOOKS)
def test_look_is_scale_covariant(look: str) -> None:
    size = photo()[0].shape[:2]
    double = cv2.resize(LOOKS[look](*photo(3.0)), size, interpolation=cv2.INTER_AREA)
    soft_double, soft_single = (cv2.GaussianBlur(image, (0, 0), 2) for image in (double, drawing(look)))
    assert difference(soft_double, soft_single) < 6


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_look_survives_flat_images_and_odd_sizes(look: str, value: int) -> None:
    image = np.full((131, 157, 3), value, np.uint8)
    result = LOOKS[look](image, photo(0.7)[1].moved(offset=(40.0, 30.0)))  # partly outside
    assert result.shape == image.shape and result.dtype == np.uint8


@pytest.mark.parametrize("palette", PALETTES)
def test_palette_is_pointwise_and_keeps_the_order_of_tones(palette: str) -> None:
    image = photo()[0]
    result = PALETTES[palette](image)
    assert result.shape == image.shape and result.dtype == np.uint8
    assert np.array_equal(result[::-1, ::-1], PALETTES[palette](np.ascontiguousarray(image[::-1, ::-1])))
    grays = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    tones = cv2.cvtColor(PALETTES[palette](grays), cv2.COLOR_RGB2GRAY)[0].astype(int)
    assert (np.diff(tones) >= -1).all() and tones[255] - tones[0] > 180


def test_own_palette_changes_nothing() -> None:
    image = photo()[0]
    assert np.array_equal(PALETTES["own"](image), image)


def test_every_style_differs_visibly_from_every_other() -> None:
    pictures = {(look, name): palette(drawing(look)) for look in LOOKS for name, palette in PALETTES.items()}
    small = {key: cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA) for key, image in pictures.items()}
    close = [(a, b) for a, b in combinations(small, 2) if difference(small[a], small[b]) < 5]
    assert not close


@st.composite
def heads(draw: st.DrawFn) -> Landmarks:
    """The astronaut's landmarks turned in the plane and in depth, at any size and place."""
    points = photo(1.0)[1].points
    centre = points.mean(0)
    turn, tilt = draw(st.floats(0.55, 1.1)), draw(st.floats(-0.6, 0.6))
    matrix = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]) @ np.diag([turn, 1.0])
    size = draw(st.floats(0.6, 2.0))
    return Landmarks((points - centre) @ matrix.T * size + (draw(st.floats(40, 260)), draw(st.floats(40, 260))))


@settings(deadline=None, max_examples=25)
@given(heads(), st.sampled_from(list(LOOKS)))
def test_warp_never_folds_and_ends_within_reach(landmarks: Landmarks, look: str) -> None:
    offsets = warp_offsets(look, landmarks, (300, 300), 1.0)
    assert offsets.shape == (300, 300, 2) and offsets.dtype == np.float32
    (x_down, x_right), (y_down, y_right) = (np.gradient(offsets[..., i]) for i in (0, 1))
    assert ((1 + x_right) * (1 + y_down) - x_down * y_right).min() > 0.1
    y, x = np.mgrid[:300, :300]
    centre = landmarks.points[27:34].mean(0)
    far = np.hypot(x - centre[0], y - centre[1]) > 1.9 * landmarks.eye_distance
    assert not np.abs(offsets[far]).any()


@pytest.mark.parametrize("look", LOOKS)
def test_warp_is_linear_in_the_degree(look: str) -> None:
    full, half, none = (warp_offsets(look, photo()[1], (288, 288), degree) for degree in (1.0, 0.5, 0.0))
    assert np.allclose(half * 2, full, atol=1e-4) and not none.any()


def test_cartoon_enlarges_the_eyes() -> None:
    image, landmarks = photo()
    x, y = np.round(landmarks.eyes[0]).astype(int)
    offsets = warp_offsets("cartoon", landmarks, image.shape[:2], 1.0)
    assert offsets[y, x + 6, 0] < -1 and offsets[y, x - 6, 0] > 1


def test_caricature_carries_on_what_the_person_alone_has() -> None:
    wide, talking = MEAN * (1.15, 1.0), MEAN.copy()
    wide[17:68] = MEAN[17:68]  # a broad head with ordinary features
    talking[LOWERED > 0, 1] += 0.2 * LOWERED[LOWERED > 0]
    at = [np.float32(row) for row in (MEAN * (1.1, 1.0)).T]
    usual, _ = exaggeration(MEAN, 0.8, *at)  # head and eyes a little larger
    for points, least, most in ((wide, 0.05, 0.2), (talking, -0.02, 0.02)):
        du, _ = exaggeration(points, 0.8, *at)
        assert least <= (usual - du)[15] <= most and least <= (du - usual)[1] <= most  # pulled from further in: broader


def test_caricature_changes_little_when_landmarks_tremble() -> None:
    image, landmarks = photo()
    moved = Landmarks(landmarks.points + np.random.default_rng(0).normal(0, 0.5, (68, 2)))
    one, other = (warp_offsets("caricature", each, image.shape[:2], 1.0) for each in (landmarks, moved))
    assert np.abs(one - other).max() < 2


@pytest.mark.parametrize("look", ["cartoon", "anime"])
def test_dark_skin_stays_dark(look: str) -> None:
    image, landmarks = photo()
    dark = (image * 0.45).astype(np.uint8)
    inside = Face(dark, landmarks).oval > 0.9
    own, drawn = (to_lab(each)[..., 0][inside].mean() for each in (dark, LOOKS[look](dark, landmarks)))
    assert own - 0.05 < drawn < own + 0.15


@pytest.mark.parametrize("look", ["cartoon", "pencil"])
def test_degree_grows_evenly(look: str) -> None:
    image, landmarks = photo()
    series = [stylize(image, landmarks, look, degree=degree) for degree in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert np.array_equal(series[0], image)
    strides = [difference(a, b) for a, b in pairwise(series)]
    assert max(strides) < 1.5 * min(strides)
    distances = [difference(image, step) for step in series]
    assert distances == sorted(distances)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [(("crayon",), "choose one of: toon3d"), (("cartoon", "mud"), "own"), (("cartoon", "own", 1.5), r"\[0, 1\]")],
)
def test_wrong_arguments_are_named(arguments: tuple, part: str) -> None:
    with pytest.raises(VtoonError, match=part):
        stylize(*photo(), *arguments)


def skin_hue(image: np.ndarray, landmarks: Landmarks) -> float:
    """Mean hue of the cheeks in (a, b), radians."""
    x, y = landmarks.points[[1, 2, 31, 36, 41]].mean(0).astype(int)
    a, b = to_lab(image[y - 8 : y + 8, x - 8 : x + 8])[..., 1:].reshape(-1, 2).mean(0)
    return float(np.arctan2(b, a))


@pytest.mark.parametrize("look", ["cartoon", "clay"])
def test_skin_is_drawn_in_the_colours_of_skin_under_coloured_lamps(look: str) -> None:
    image, landmarks = photo()
    gains = (np.float32([1.1, 1.0, 0.45]), np.float32([1.0, 0.8, 1.0]))  # an incandescent lamp, a pink one
    lit = [np.clip(image * gain, 0, 255).astype(np.uint8) for gain in gains]
    apart = skin_hue(lit[0], landmarks) - skin_hue(lit[1], landmarks)
    drawn = [skin_hue(LOOKS[look](picture, landmarks), landmarks) for picture in lit]
    assert abs(drawn[0] - drawn[1]) < 0.6 * apart
    assert all(0.4 < hue < 1.25 for hue in drawn)
