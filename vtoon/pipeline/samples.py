"""What each style of a model looks like on one face: the drawings of a contact sheet and of the page's gallery."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vtoon.painters.published import PublishedModel
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.stylize import Stylizer
from vtoon.types import Landmarks

# The face as on a portrait: left, right, top, bottom, px at 64 px between the eyes.
PADDING = (140, 140, 150, 160)
DETAIL = 80.0  # px between the eyes: enough for a thumbnail
CLOSE_UP = {"placement": "crop", "faces": "largest", "padding": PADDING, "detail": DETAIL}


def each_style(stylizer: Stylizer) -> list[tuple[str, dict]]:
    """Label and options of every style that a model draws, its palette included."""
    model, styles, colours = stylizer.checkpoint, stylizer.styles, True
    if isinstance(model, PublishedModel):  # it may draw one style, and mostly not in the styles' colours
        only, colours = model.special.style_id, model.special.color_transfer
        styles = styles if only is None else (model.settled(None, None, False)[0],)
    return [(f"{style.id} {style.name}", {"style": style.id, "color_transfer": colours}) for style in styles]


def least(stylizer: Stylizer) -> float:
    """The smallest degree that a model draws."""
    model = stylizer.checkpoint
    return (isinstance(model, PublishedModel) and model.special.style_degree) or 0.0


def close_up(stylizer: Stylizer, photo: np.ndarray, faces: Sequence[Landmarks], **options: object) -> np.ndarray:
    """A thumbnail's drawing of the first of the `faces` of a photo uint8 [H, W, 3]: uint8 [h, w, 3]."""
    return stylizer.draw_faces(photo, faces[:1], StylizeOptions(**(CLOSE_UP | options)))


def square(image: np.ndarray) -> np.ndarray:
    """The middle of a picture [H, W, 3], as high as wide."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]
