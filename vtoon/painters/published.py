"""The published VToonify with the networks around it: parsing, style encoder, exemplars."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector, align_face
from vtoon.faces.detect import THOROUGH, WIDE
from vtoon.flow import FlowEstimator
from vtoon.image import to_tensor
from vtoon.models.bake import bake, for_drawing
from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS
from vtoon.models.face_parsing import BiSeNet
from vtoon.models.vtoonify import VToonify
from vtoon.ops import arithmetic
from vtoon.painters.companions import AveragedEncoder, Companions, built, load_encoder, load_parser
from vtoon.painters.engine import Job, Painter
from vtoon.painters.parsing import PARSING_WEIGHT, ParsingSmoother, Region, parse
from vtoon.painters.parsing_map import ParsingMap
from vtoon.types import Landmarks, Style
from vtoon.weights.converted import read_vtoonify
from vtoon.weights.hub import find_published, layout_of
from vtoon.weights.sizes import Specialty
from vtoon.weights.styles import StyleBank, list_command

BYTES_PER_PIXEL = 12_000  # of memory, for each pixel of a region: 10,000 were measured at 256x256 to 1024x1024
SMOOTHING_BYTES = 4000  # more for each, where parsing is smoothed: eleven frames and their logits at twice the size
RGB = 3  # channels of a network that sees no parsing
PUBLISHED_EYES = 64.0  # px between the eyes that VToonify's crop rule makes
ALIGNED = 256  # px, what the style encoder sees
BAKED = 4  # networks kept, one for each face
STYLES = 256  # style codes kept: 36 KB each
THOROUGH_FIRST, THOROUGH_EVERY = 4, 25  # looks for a face that was not found yet: the first ones, one in so many
GRAPHS_SAFE = (2, 15)  # PyTorch before it keeps CUDA graphs for one thread only, and every video is drawn in its own


class PublishedModel:
    """A published VToonify-D or -T, as published (.pt) or converted. Its companions are read when first needed."""

    def __init__(self, path: Path, companions: Companions | None = None) -> None:
        """Raises VtoonError where the file is not one, is damaged, or (a .pt) has no style codes beside it."""
        self.path, self.companions = Path(path), companions or Companions()
        file = read_vtoonify(self.path, self.companions.style_codes)
        self.config, self.codes, self.provenance = file.config, file.codes, file.provenance
        self.eyes, self.own_code = file.trained.eye_distance or PUBLISHED_EYES, file.trained.own_code  # px
        self.net = built(VToonify, file.state, self.config)
        self.named = file.special is not None
        self.special = file.special or (Specialty() if self.dual else Specialty(0, 1.0))
        names = [Path(name).stem for name in self.codes] or ["toonify"]
        self.bank = StyleBank(tuple(Style(i, name, name, "own") for i, name in enumerate(names)), list_command(path))

    @property
    def dual(self) -> bool:
        """Whether it is a VToonify-D: with exemplars and degrees."""
        return self.config.backbone == "dualstylegan"

    @property
    def upscale(self) -> int:
        """Pixels drawn for one pixel seen."""
        return self.config.upscale

    @cached_property
    def parser(self) -> BiSeNet | None:
        """The face parsing network; None where the model was trained without one."""
        if self.config.in_channels == RGB:
            return None
        return load_parser(self.companions.parsing or self._companion("faceparsing.pth"))

    @cached_property
    def encoder(self) -> AveragedEncoder:
        """The style encoder: aligned faces [N, 3, 256, 256] to Z+ [N, L, 512]."""
        return load_encoder(self.companions.style_encoder or self._companion("encoder.pt"))

    def _companion(self, name: str) -> Path:
        """In the folder above, as published, or beside it, where a converted file may well lie."""
        beside = self.path.with_name(name)
        return beside if beside.is_file() else find_published(name, layout_of(self.path))

    def share(self, other: PublishedModel) -> None:
        """Take over the companions that `other` has read: they are the same for all of one layout, and large."""
        for name in ("parser", "encoder"):
            if name in vars(other):  # that is where cached_property keeps them
                setattr(self, name, vars(other)[name])

    @torch.no_grad()
    def exemplar(self, style: Style, device: torch.device | str) -> Tensor | None:
        """w+ of an artwork [1, L, 512]; None where the model has none."""
        if not self.dual:
            return None
        return self.net.to(device).zplus2wplus(list(self.codes.values())[style.id].to(device))

    @torch.no_grad()
    def face_style(self, image: np.ndarray, face: Landmarks | None, device: torch.device | str) -> Tensor:
        """w+ of a face [1, L, 512], found in a region uint8 [H, W, 3]; without one, of the middle of the region."""
        if self.own_code is not None:
            return self.own_code[None].to(device)
        aligned = align_face(image, face, ALIGNED) if face else _whole(image)
        return self.net.to(device).zplus2wplus(self.encoder.to(device)(to_tensor(aligned, device)))

    def settled(
        self, style: int | str | None, degree: float | None, color_transfer: bool
    ) -> tuple[Style, float, bool, list[str]]:
        """What will be drawn: a specialised file knows one style, degree or colour; a note for each that was asked for
        otherwise. None: not asked for. A VToonify-T heeds neither. Raises VtoonError for a style that does not exist.
        """
        notes, special = [], self.special
        if not self.dual:
            asked = style is not None or degree is not None
            notes = ["no effect: style and degree (a VToonify-T has one of each)"] if asked else []
            return self.bank.styles[0], 1.0, False, notes
        found = self.bank.find(style) if special.style_id is None else self._only_style()
        if style is not None and self.bank.find(style) != found:
            notes.append(f"{self.path.name} draws style {found.id} only, so that is drawn, not {style}")
        if special.style_degree is not None and degree not in (None, special.style_degree):
            notes.append(f"{self.path.name} draws degree {special.style_degree} only, so that is drawn, not {degree}")
        known = [d for d in (special.style_degree, degree, 1.0) if d is not None]
        if special.color_transfer and not color_transfer:
            notes.append(f"{self.path.name} draws in the colours of the style, so --color_transfer is on")
        elif color_transfer and not special.color_transfer and self.named:
            notes.append(f"{self.path.name} was not trained for --color_transfer; files for it end in _c")
        return found, known[0], color_transfer or special.color_transfer, notes

    def _only_style(self) -> Style:
        """Of a file that was trained for one."""
        if self.special.style_id < len(self.bank):
            return self.bank.styles[self.special.style_id]
        only, count = self.special.style_id, len(self.bank)
        raise VtoonError(
            f"{self.path.name} draws style {only} only, but there are style codes 0 to {count - 1}: they are of "
            "another model; name its own with --exstyle_path"
        )


class PublishedPainter(Painter):
    """Regions to drawings by a published VToonify; every face in its own style code."""

    rounding = False  # as the published code turns floats into bytes
    bytes_per_pixel = BYTES_PER_PIXEL

    def __init__(
        self,
        model: PublishedModel,
        style: Style,
        degree: float,
        color_transfer: bool,
        device: torch.device,
        smooth: FlowEstimator | None = None,
        parsing_map: Path | None = None,
        parse_every: int = 1,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        """`smooth`: the flow along which parsing is smoothed over time, and followed between the frames that are
        parsed, one in `parse_every`; None: each frame is parsed alone.

        `parsing_map`: smoothed logits of the clip from a file, frame by frame; see `ParsingMap`. `dtype`: of the
        network that draws. `compiled`: by `torch.compile`, on CUDA with CUDA graphs.
        """
        self.model, self.device = model, torch.device(device)
        self.smooth = smooth if model.parser else None
        self.parse_every, self.dtype, self.compiled = parse_every, dtype, compiled
        if parsing_map and not model.parser:
            raise VtoonError(f"{model.path.name} was trained without parsing; leave --parsing_map_path out")
        self.map = parsing_map and ParsingMap(parsing_map)
        self.color_transfer = color_transfer
        self.bytes_per_pixel = BYTES_PER_PIXEL + (SMOOTHING_BYTES if self.smooth and not self.map else 0)
        self.net = for_drawing(model.net, self.device, dtype)
        self.parser = model.parser and for_drawing(model.parser, self.device)
        self.degree = torch.full((1, 1), float(degree), device=device)
        self.exemplar = model.exemplar(style, device)
        self.detector = FaceDetector()
        self.nets: OrderedDict[int, VToonify] = OrderedDict()  # by track, the latest last
        self.styles: OrderedDict[int, Tensor] = OrderedDict()  # the same; of a face once and for all
        self.stand_in: VToonify | None = None  # with the exemplar alone, until a face is found
        self.missed: Counter[int] = Counter()  # by track: how often its face was looked for in vain

    def prepare(self, frames: Iterator[list[Job]]) -> Iterator[list[Job]]:
        """Jobs with their parsing, from the file or smoothed over time, a window of frames behind."""
        if self.map:
            return self.map.attached(frames)
        return self._smoothed(frames) if self.smooth else frames

    def _smoothed(self, frames: Iterator[list[Job]]) -> Iterator[list[Job]]:
        waiting: deque[list[Job]] = deque()

        def regions() -> Iterator[list[Region]]:
            shot = 0
            for jobs in frames:
                waiting.append(jobs)
                shot += any(job.cut for job in jobs)
                yield [((shot, job.track, job.image.shape), job.image) for job in jobs]

        smoother = ParsingSmoother(self.parser, self.smooth, self.device, every=self.parse_every)
        for logits in smoother.smooth(regions()):
            yield [replace(job, parsing=own) for job, own in zip(waiting.popleft(), logits, strict=True)]

    def __call__(self, x: Tensor, jobs: Sequence[Job]) -> Tensor:
        seen, drawn = self._seen(x, jobs), [None] * len(jobs)
        for track in dict.fromkeys(job.track for job in jobs):
            left = [i for i, job in enumerate(jobs) if job.track == track]
            while left:
                net, style = self.styled(jobs[left[0]])
                n = len(left) if track in self.styles else 1  # the next picture may be the first that shows the face
                own, left = left[:n], left[n:]
                for i, y in zip(own, self._draw(net, seen[own], style.expand(n, -1, -1)), strict=True):
                    drawn[i] = y
        return torch.stack(drawn)

    def _seen(self, x: Tensor, jobs: Sequence[Job]) -> Tensor:
        if self.parser is None:
            return x
        parsing = torch.cat([self._parsing(x[i : i + 1], job) for i, job in enumerate(jobs)])
        return torch.cat([x, parsing * PARSING_WEIGHT], 1)

    def _draw(self, net: VToonify, seen: Tensor, style: Tensor) -> Tensor:
        degree = self.degree.expand(len(seen), 1)
        with arithmetic(self.device, self.dtype):
            return self._run(net, seen, style, degree).float()

    def _run(self, net: VToonify, *inputs: Tensor) -> Tensor:
        if not self.compiled:
            return net(*inputs)
        try:
            return net(*inputs).clone()  # a CUDA graph writes its next picture over this one
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise VtoonError(f"the network could not be compiled ({reason}); leave --compile out") from None

    def _parsing(self, x: Tensor, job: Job) -> Tensor:
        if job.parsing is None:
            return parse(self.parser, x)
        below, right = (wanted - got for wanted, got in zip(x.shape[2:], job.parsing.shape[1:], strict=True))
        return F.pad(job.parsing[None].to(x), (0, right, 0, below), mode="replicate")

    def styled(self, job: Job) -> tuple[VToonify, Tensor]:
        """The network with the style of this face worked into it, and that style, w+ [1, L, 512]."""
        if job.track not in self.styles:
            style, certain = self.style_of(job)
            if not certain and self.exemplar is None:
                return bake(self.net, style, self.degree), style
            if not certain:
                self.stand_in = self.stand_in or bake(self.net, style, self.degree)
                return self.stand_in, style
            _keep(self.styles, job.track, style, STYLES)
        if job.track not in self.nets:
            _keep(self.nets, job.track, self._fast(self.styles[job.track]), BAKED)
        self.nets.move_to_end(job.track)
        self.styles.move_to_end(job.track)
        return self.nets[job.track], self.styles[job.track]

    def _fast(self, style: Tensor) -> VToonify:
        net = for_drawing(bake(self.net, style, self.degree), self.device, self.dtype)
        if not self.compiled:
            return net
        graphs = self.device.type == "cuda" and torch.__version__ >= GRAPHS_SAFE
        return torch.compile(net, mode="reduce-overhead" if graphs else None)

    def draw_as(self, own: Tensor, exemplar: Tensor | None = None, track: int = 0) -> None:
        """Draw a face in given codes, w+ [1, L, 512]: its own, and an artwork's in place of the chosen style's."""
        if exemplar is not None:
            self.exemplar, self.stand_in = exemplar.to(self.device), None
        self.nets.pop(track, None)
        _keep(self.styles, track, self._mixed(own.to(self.device)), STYLES)

    def style_of(self, job: Job) -> tuple[Tensor, bool]:
        """w+ of a face [1, L, 512], and whether it is its own for good: until the face is found, a stand-in is used."""
        if self.color_transfer and self.exemplar is not None:
            return self.exemplar, True
        if self.model.own_code is not None:
            return self._mixed(self.model.face_style(job.image, None, self.device)), True
        thoroughly = self.missed[job.track] < THOROUGH_FIRST or self.missed[job.track] % THOROUGH_EVERY == 0
        face = own_face(job, self.detector.detect(job.image, THOROUGH if thoroughly else WIDE))
        self.missed[job.track] += face is None
        if face is None and self.exemplar is not None:
            return self.exemplar, False
        return self._mixed(self.model.face_style(job.image, face, self.device)), face is not None

    def _mixed(self, own: Tensor) -> Tensor:
        """Rows 0 to 6 shape the face and come from the exemplar, the rest colour it and are the face's own (VToonify,
        section 4.1), or with colour transfer the exemplar's too."""
        if self.exemplar is None:
            return own
        first_own = own.shape[1] if self.color_transfer else NUM_STRUCTURE_LAYERS
        return torch.cat([self.exemplar[:, :first_own], own[:, first_own:]], 1)


def _keep(kept: OrderedDict, key: int, value: object, most: int) -> None:
    """Add the latest; beyond `most` the one that was not used for the longest time is dropped."""
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)


def own_face(job: Job, faces: Sequence[Landmarks]) -> Landmarks | None:
    """Of the faces that a region shows, biggest first, the one that it is about: a bigger one may stand beside it."""
    if not faces or job.middle is None:
        return faces[0] if faces else None
    distances = [float(np.hypot(*(face.eye_middle - job.middle))) for face in faces]
    nearest = int(np.argmin(distances))
    return faces[nearest] if distances[nearest] < job.eye_distance else None


def _whole(image: np.ndarray) -> np.ndarray:
    """For want of a face, the middle of the region."""
    side = min(image.shape[:2])
    top, left = ((n - side) // 2 for n in image.shape[:2])
    return cv2.resize(image[top : top + side, left : left + side], (ALIGNED, ALIGNED), interpolation=cv2.INTER_AREA)
