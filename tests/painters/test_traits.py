"""A look that goes beyond the mean face is shaped by the landmarks of the faces it is told of."""

import numpy as np
import torch
from tiny import TINY

from vtoon.faces.traits import MEAN, exaggerated
from vtoon.models.builtin import BuiltinVToonify
from vtoon.painters.builtin import BuiltinPainter
from vtoon.painters.engine import Engine, Job
from vtoon.types import Landmarks, Style

FACE = Landmarks(MEAN * (50.0, 46.0) + (96.0, 80.0))  # a broad one


def painter(traits: float) -> BuiltinPainter:
    torch.manual_seed(0)
    model = BuiltinVToonify(["a"], ["own"], TINY).eval().requires_grad_(False)
    model.traits[0] = traits
    return BuiltinPainter(model, Style(0, "a", "a", "own"), 1.0, False, torch.device("cpu"))


def test_the_field_is_the_teachers():
    job = Job(np.zeros((192, 192, 3), np.uint8), 50.0, faces=(FACE,))
    field = painter(0.9)._exaggerated(torch.zeros(1, 3, 192, 192), [job])
    fine = torch.nn.functional.interpolate(field, size=(192, 192), mode="bilinear")[0].permute(1, 2, 0).numpy()
    wanted = exaggerated(FACE, (192, 192), 0.9)
    assert np.abs(wanted).max() > 3 and np.abs(fine - wanted).max() < 0.8


def test_faces_shape_the_drawing_of_such_a_look_alone():
    image = np.random.default_rng(0).integers(0, 255, (192, 192, 3), np.uint8)
    for traits, alike in ((0.0, True), (0.9, False)):
        engine = Engine(painter(traits))
        told, untold = (engine.draw([Job(image, 50.0, faces=faces)]) for faces in ((FACE,), ()))
        assert np.array_equal(told[0], untold[0]) == alike
