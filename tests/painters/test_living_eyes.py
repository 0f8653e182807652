"""Eyes painted anew: round irises of the photo's colour where it looks, none on a lid, nothing elsewhere; the face is
seen alike at every size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY

from vtoon.faces.traits import MEAN
from vtoon.image import to_lab
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.face_net import FaceNet
from vtoon.painters.builtin import BuiltinPainter, carried
from vtoon.painters.engine import Engine, Job
from vtoon.painters.eye_reading import EyeLight, bare, skin_below
from vtoon.painters.eye_shapes import Portrait, around_eyes, eyes_of
from vtoon.painters.living_eyes import keep_rims, redraw_eyes
from vtoon.types import Landmarks, Style

SIDE, EYES = 256, 110.0
FACE = Landmarks(MEAN * EYES + (128.0, 100.0))
SKIN, WHITE, BLUE, BROWN = (205, 150, 125), (225, 222, 220), (75, 118, 150), (70, 42, 28)


def photo(iris=BROWN, aside: float = 0.0, shut: bool = False, skin=SKIN) -> np.ndarray:
    """Skin and two eyes that look `aside` px to the right."""
    image = np.full((SIDE, SIDE, 3), skin, np.uint8)
    for eye in (slice(36, 42), slice(42, 48)):
        points = FACE.points[eye]
        if shut:
            cv2.polylines(image, [np.round(points[[0, 5, 4, 3]]).astype(np.int32)], False, (90, 55, 45), 2, cv2.LINE_AA)
            continue
        ball, opening = np.full_like(image, WHITE), np.zeros((SIDE, SIDE), np.uint8)
        centre = tuple(np.round(points.mean(0) + np.array([aside, 0])).astype(int))
        cv2.circle(ball, centre, 10, iris, -1, cv2.LINE_AA)
        cv2.circle(ball, centre, 4, (15, 12, 12), -1, cv2.LINE_AA)
        cv2.fillPoly(opening, [np.round(points).astype(np.int32)], 1)
        image[opening > 0] = ball[opening > 0]
    return image


def redrawn(image: np.ndarray, over: np.ndarray | None = None) -> np.ndarray:
    face = Portrait(image, FACE)
    plain = np.full((SIDE, SIDE, 3), SKIN, np.float32) / 255
    return redraw_eyes(plain if over is None else over.astype(np.float32) / 255, face, EyeLight.of(face))


def dark_middle(rgb: np.ndarray, eye: slice) -> np.ndarray:
    """Where the dark of an eye is, px from its landmarks' middle."""
    middle = FACE.points[eye].mean(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    near = (abs(x - middle[0]) < 14) & (abs(y - middle[1]) < 3) & (rgb.mean(2) < 0.3)  # no lashes
    return np.array([x[near].mean(), y[near].mean()]) - middle


def test_eyes_look_where_the_photo_looks():
    for eye in (slice(36, 42), slice(42, 48)):
        left, ahead, right = (dark_middle(redrawn(photo(aside=aside)), eye)[0] for aside in (-6, 0, 6))
        assert abs(ahead) < 1.5 and ahead - left > 2.5 and right - ahead > 2.5


def test_irises_have_the_photos_colour():
    blue, brown = (EyeLight.of(Portrait(photo(iris), FACE)).iris for iris in (BLUE, BROWN))
    assert blue[2] < -0.05 and brown[2] > 0.03 and brown[1] > 0.02


def test_shut_eyes_are_shut_whatever_the_network_drew():
    shut = photo(shut=True)
    told = cv2.GaussianBlur(shut.astype(np.float32) / 255, (0, 0), 1.0)
    over_open, over_skin = redrawn(shut, over=photo()), redrawn(shut)
    assert (
        np.abs(over_open - told).max() < 0.25 and np.abs(over_open - told).mean() < 0.002
    )  # lines are a little softer
    assert np.abs(over_open - over_skin).max() < 0.06


def test_dark_glasses_stay_dark_and_eyes_over_shining_cheeks_are_seen():
    glasses, dark = photo(), photo(skin=(96, 62, 48))
    for eye in (slice(36, 42), slice(42, 48)):
        cv2.circle(glasses, tuple(np.round(FACE.points[eye].mean(0)).astype(int)), 40, (30, 28, 28), -1, cv2.LINE_AA)
    assert np.array_equal(redrawn(glasses, over=glasses), glasses.astype(np.float32) / 255)
    face = Portrait(dark, FACE)
    plain = np.full((SIDE, SIDE, 3), (96, 62, 48), np.float32) / 255
    told = EyeLight.of(face)
    shining = EyeLight(told.iris, told.toward, 3 * told.level)  # cheeks, three times as light as under the eyes
    assert np.array_equal(redraw_eyes(plain, face, shining), redraw_eyes(plain, face, told))
    assert np.abs(redraw_eyes(plain, face, shining) - plain).max() > 0.3


def test_the_rest_of_the_face_stays_as_it_is():
    plain = np.full((SIDE, SIDE, 3), SKIN, np.float32) / 255
    rows, columns = around_eyes(FACE, (SIDE, SIDE))
    far = np.ones((SIDE, SIDE), bool)
    far[rows, columns] = False
    drawn = redrawn(photo())
    assert np.array_equal(drawn[far], plain[far]) and np.abs(drawn - plain).max() > 0.5


@pytest.mark.parametrize("skin", [SKIN, (96, 62, 48)])
def test_what_is_not_skin_tells_open_eyes(skin):
    shares = {}
    for shut in (False, True):
        image = photo(shut=shut, skin=skin)
        eyes = [(to_lab(image[eye.window]), eye) for eye in eyes_of(Portrait(image, FACE))]
        shares[shut] = [bare(lab, eye, skin_below(lab, eye)) for lab, eye in eyes]
    assert min(shares[False]) > 0.4 and max(shares[True]) < 0.25


def test_light_from_the_side_is_seen_and_numbers_come_back():
    image = photo()
    image[:, :128] //= 2
    light = EyeLight.of(Portrait(image, FACE))
    assert light.toward[0] > EyeLight.of(Portrait(photo(), FACE)).toward[0] + 0.2
    again = EyeLight.from_numbers(light.numbers)
    assert np.allclose(again.numbers, light.numbers) and light.numbers.shape == (6,)


@settings(deadline=None, max_examples=30)
@given(x=st.floats(30, 200), y=st.floats(30, 160), bend=st.floats(-0.3, 0.3), shift=st.floats(-9, 9))
def test_points_are_carried_to_where_the_warp_shows_them(x, y, bend, shift):
    cells_y, cells_x = np.mgrid[:24, :32].astype(np.float32) * 8 + 3.5
    field = np.stack([shift + bend * (cells_x - 128) * np.exp(-(((cells_x - 128) / 60) ** 2)), 0.1 * (cells_y - 96)])
    (place,) = carried(np.array([[x, y]]), field.astype(np.float32), (192, 256))
    at = ((place + 0.5) / 8 - 0.5).astype(np.float32)[None, None]
    offset = [float(cv2.remap(part.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE)[0, 0]) for part in field]  # fmt: skip
    assert np.allclose(place + offset, (x, y), atol=0.3)


def painter(eyes: float) -> BuiltinPainter:
    torch.manual_seed(0)
    model = BuiltinVToonify(["a"], ["own"], TINY).eval().requires_grad_(False)
    model.eyes[0] = eyes
    return BuiltinPainter(model, Style(0, "a", "a", "own"), 1.0, False, torch.device("cpu"), steady=True)


def test_only_looks_with_living_eyes_paint_them_and_their_colour_is_followed():
    job = Job(photo(), EYES, faces=(FACE,))
    for eyes, alike in ((0.0, True), (1.0, False)):
        made = painter(eyes)
        (jobs,) = made.prepare(iter([[job]]))
        assert (jobs[0].eye_light is not None) == bool(eyes)
        (bare_jobs,) = made.prepare(iter([[Job(photo(), EYES)]]))  # nobody's face is known
        told, untold = (Engine(made).draw(list(those))[0] for those in (jobs, bare_jobs))
        assert np.array_equal(told, untold) == alike
        rows, columns = around_eyes(FACE, (SIDE, SIDE))
        told[rows, columns] = untold[rows, columns]
        assert np.array_equal(told, untold)


@settings(deadline=None, max_examples=20)
@given(height=st.integers(5, 30), width=st.integers(5, 30))
def test_a_face_is_seen_alike_at_sizes_that_cannot_be_halved(height, width):
    torch.manual_seed(0)
    net, x, eyes = FaceNet(2).eval(), torch.randn(1, 3, 2 * height, 2 * width), torch.full((1, 1), 96.0)
    whole = torch.nn.functional.pad(x, (0, -2 * width % 8, 0, -2 * height % 8), mode="replicate")
    with torch.no_grad():
        torch.nn.init.normal_(net.fields.weight)
        (fields, parts), (all_fields, all_parts) = net(x, eyes), net(whole, eyes)
    assert fields.shape[-2:] == (height, width) and parts.shape[-2:] == (2 * height, 2 * width)
    assert torch.allclose(fields, all_fields[..., :height, :width], atol=1e-5)
    assert torch.allclose(parts, all_parts[..., : 2 * height, : 2 * width], atol=1e-5)


def test_rims_of_glasses_keep_the_photos_strength():
    image = photo()
    for eye in (slice(36, 42), slice(42, 48)):
        centre = tuple(np.round(FACE.points[eye].mean(0) + np.array([0, 6])).astype(int))
        cv2.ellipse(image, centre, (36, 26), 0, 0, 360, (60, 50, 50), 2, cv2.LINE_AA)
    plain = np.full((SIDE, SIDE, 3), SKIN, np.float32) / 255
    kept = keep_rims(plain, Portrait(image, FACE))
    x, y = np.round(FACE.points[36:42].mean(0) + np.array([0, 32])).astype(int)
    photos, drawn = (float(picture[y - 2 : y + 3, x].mean(1).min()) for picture in (image / 255, kept))
    assert drawn < 0.5 * (plain.mean() + photos)
    assert np.abs(keep_rims(plain, Portrait(photo(), FACE)) - plain)[140:].max() < 1e-3
