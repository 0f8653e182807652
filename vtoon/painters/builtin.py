"""The built-in kind of model in the pipeline: small faces sharpened, the light on a face followed."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from vtoon.faces import pad_to_multiple
from vtoon.faces.traits import exaggerated
from vtoon.image import to_tensor, to_uint8
from vtoon.models.builtin import BuiltinVToonify
from vtoon.models.face_net import CELL
from vtoon.models.vtoonify import VToonify
from vtoon.ops import channels_last_
from vtoon.painters.engine import Job, Painter
from vtoon.painters.eye_reading import EyeLight
from vtoon.painters.eye_shapes import Portrait, around_eyes
from vtoon.painters.grading import Grading
from vtoon.painters.living_eyes import keep_rims, redraw_eyes
from vtoon.painters.tones import SteadyTones
from vtoon.types import Landmarks, Style

SMALL_BYTES = 1000  # for each pixel drawn by a small model: about 900 were measured
SQUARES_BYTES = 400  # ... by one that draws squares of pixels: 280
KEPT = 4  # networks that are baked for a face
SAME_SIZE, SAME_TONE = 0.01, 1 / 128  # share of the face's size, and of [-1, 1]: a level: less is not seen
CARRIED = 6  # steps in which a warped point is found; each leaves a third of the error
SHARPENING = 2.5  # of a face that is drawn at twice its size or more


class BuiltinPainter(Painter):
    """The built-in kind of model with one style at one degree."""

    rounding, parallel = True, True

    def __init__(
        self,
        model: BuiltinVToonify,
        style: Style,
        degree: float,
        color_transfer: bool,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        steady: bool = False,
    ) -> None:
        self.model, self.degree, self.dtype = channels_last_(model.to(device)), float(degree), dtype
        self.device, self.steady = device, steady
        self.bytes_per_pixel = SQUARES_BYTES if model.net.config.fold > 1 else SMALL_BYTES
        self.look = model.codes.names.index(style.look)
        self.palette = model.palettes.names.index(style.palette) if color_transfer else None
        self.traits = float(model.traits[self.look])
        self.eyes = bool(model.eyes[self.look])
        self.grading = Grading.of(model.palettes, self.palette, self.degree)
        self._kept: OrderedDict[int, _Kept] = OrderedDict()  # by track, the latest last
        self._keeping = Lock()

    def prepare(self, frames: Iterator[list[Job]]) -> Iterator[list[Job]]:
        """Jobs with the tones of their face; without `steady` each frame's own are measured as it is drawn."""
        return self._metered(frames) if self.steady else frames

    def _metered(self, frames: Iterator[list[Job]]) -> Iterator[list[Job]]:
        tones, lights = SteadyTones(), SteadyTones()
        for jobs in frames:
            followed = [replace(job, tones=self._followed(job, tones, self._measured)) for job in jobs]
            if self.eyes:
                followed = [replace(job, eye_light=self._followed(job, lights, _eye_light)) if job.faces else job
                            for job in followed]  # fmt: skip
            yield followed

    @staticmethod
    def _followed(job: Job, past: SteadyTones, measure: Callable[[Job], Tensor]) -> Tensor:
        measured = measure(job) if past.due(job.track, job.cut) else None
        return past.after(measured, job.track, job.cut)

    @torch.inference_mode()
    def _measured(self, job: Job) -> Tensor:
        x = to_tensor(pad_to_multiple(job.image)[0], self.device)
        return self.model.tones(x, x.new_tensor([[job.eye_distance]]))[0]

    def __call__(self, x: Tensor, jobs: Sequence[Job]) -> Tensor:
        look, palette = (None if i is None else x.new_full((len(x),), i).long() for i in (self.look, self.palette))
        degree, eyes = x.new_full((len(x), 1), self.degree), x.new_tensor([[job.eye_distance] for job in jobs])
        tones = torch.stack([job.tones for job in jobs]) if self.steady else None
        field = self._exaggerated(x, jobs) if self.traits and all(job.faces for job in jobs) else None
        net = self._baked(look, eyes, tones, jobs[0].track) if self.steady and len(jobs) == 1 else None
        finish = partial(self._alive, jobs) if self.eyes and any(job.faces for job in jobs) else None
        x = sharpened(x, jobs, self.degree)
        return self.model(x, look, palette, degree, eyes, self.dtype, tones, field, net, finish)

    @torch.inference_mode()
    def unshaped(self, image: np.ndarray, face: Landmarks) -> np.ndarray:
        """The full drawing of a face in the photo's own shape; uint8 [h, w, 3], h and w multiples of 8, both."""
        x, look, eyes = self._alone(image, face)
        palette = None if self.palette is None else torch.full_like(look, self.palette)
        still = x.new_zeros(1, 2, image.shape[0] // CELL, image.shape[1] // CELL)
        finish = partial(self._alive, [Job(image, face.eye_distance, faces=(face,))]) if self.eyes else None
        return to_uint8(self.model(x, look, palette, x.new_ones(1, 1), eyes, field=still, finish=finish))[0]

    @torch.inference_mode()
    def reshaping(self, image: np.ndarray, face: Landmarks) -> np.ndarray:
        """What `unshaped` leaves out: the backward map at degree 1, float32 [h / 8, w / 8, 2] px."""
        x, look, eyes = self._alone(image, face)
        job = Job(image, face.eye_distance, faces=(face,))
        field = self._exaggerated(x, [job]) if self.traits else self.model.shape(x, look, eyes)
        return field[0].permute(1, 2, 0).cpu().numpy()

    def _alone(self, image: np.ndarray, face: Landmarks) -> tuple[Tensor, Tensor, Tensor]:
        x = to_tensor(image, self.device)
        return x, torch.full((1,), self.look, device=self.device), x.new_tensor([[face.eye_distance]])

    def _exaggerated(self, x: Tensor, jobs: Sequence[Job]) -> Tensor:
        """[N, 2, H / 8, W / 8] px: what tells each face from others, carried further."""
        shape = x.shape[2] // CELL, x.shape[3] // CELL
        small = [[face.resized(1 / CELL) for face in job.faces] for job in jobs]
        fields = [sum(exaggerated(face, shape, self.traits) for face in faces) for faces in small]
        return x.new_tensor(np.stack(fields)).permute(0, 3, 1, 2) * CELL

    @staticmethod
    def _alive(jobs: Sequence[Job], drawing: Tensor, photo: Tensor, field: Tensor) -> Tensor:
        """The drawing with its eyes painted anew: of all that is drawn small, a network draws them the least well."""
        for i, job in enumerate(jobs):
            where = field[i].float().cpu().numpy()
            for k, face in enumerate(job.faces):
                steadied = job.eye_light is not None and k == 0
                light = EyeLight.from_numbers(job.eye_light.cpu().numpy()) if steadied else _light_of(job, face)
                points = carried(face.points, where, drawing.shape[2:])
                _paint_eyes(drawing[i], photo[i], Landmarks(points), light)
        return drawing

    def _baked(self, look: Tensor, eyes: Tensor, tones: Tensor, track: int) -> VToonify:
        """The network for this face's size and light, kept until they have changed by more than can be seen."""
        with self._keeping:
            kept = self._kept.pop(track, None)
            if kept is None or not kept.suits(eyes, tones):
                kept = _Kept(eyes, tones, self.model.baked(look, eyes, tones))
            self._kept[track] = kept
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return kept.net


@dataclass(frozen=True)
class _Kept:
    """A network that was baked for a face."""

    eyes: Tensor  # [1, 1] px
    tones: Tensor  # [1, 7]
    net: VToonify

    def suits(self, eyes: Tensor, tones: Tensor) -> bool:
        """Whether it draws a face of this size and light, too."""
        sizes = (eyes / self.eyes).log().abs() < SAME_SIZE
        return bool(sizes) and bool((tones - self.tones).abs().max() < SAME_TONE)


def carried(points: np.ndarray, field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where a backward map [2, h, w] px brings points [n, 2] px of a picture of `size` (H, W): with
    out(p) = in(p + field(p)), a point q of it lies at p = q - field(p)."""
    scale = np.array(field.shape[:0:-1]) / (size[1], size[0])
    places = points
    for _ in range(CARRIED):
        at = ((places + 0.5) * scale - 0.5).astype(np.float32)[None]
        offsets = [cv2.remap(part, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
                   for part in field]  # fmt: skip
        places = points - np.stack(offsets, 1)
    return places


def _eye_light(job: Job) -> Tensor:
    return torch.from_numpy(_light_of(job, job.faces[0]).numbers)


def _light_of(job: Job, face: Landmarks) -> EyeLight:
    return EyeLight.of(Portrait(job.image, face))


def _paint_eyes(drawing: Tensor, photo: Tensor, landmarks: Landmarks, light: EyeLight) -> None:
    """In place; both [3, H, W] in [-1, 1]."""
    box = around_eyes(landmarks, drawing.shape[1:])
    if box is None:
        return
    rows, columns = box
    parts = [part[:, rows, columns].float().add(1).mul(0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
             for part in (drawing, photo)]  # fmt: skip
    here = Portrait(parts[1], Landmarks(landmarks.points - (columns.start, rows.start)))
    painted = torch.from_numpy(keep_rims(redraw_eyes(parts[0], here, light), here)).to(drawing).permute(2, 0, 1)
    drawing[:, rows, columns] = painted * 2 - 1


def sharpened(x: Tensor, jobs: Sequence[Job], degree: float) -> Tensor:
    """Enlarged faces with their edges back (unsharp masking), in step with the degree: where there is no edge, the
    network draws no line. x: the regions of `jobs` [N, 3, H, W] in [-1, 1]."""
    if degree == 0 or all(job.scale <= 1 for job in jobs):
        return x
    return torch.cat([_sharper(own, job.scale, degree) for own, job in zip(x.split(1), jobs, strict=True)])


def _sharper(x: Tensor, scale: float, degree: float) -> Tensor:
    if scale <= 1:
        return x
    sigma = 0.9 * min(scale, 4.0)
    lost = x - gaussian_blur(x, 2 * math.ceil(2.5 * sigma) + 1, sigma)
    return (x + SHARPENING * degree * min(1.0, scale - 1) * lost).clamp(-1, 1)
