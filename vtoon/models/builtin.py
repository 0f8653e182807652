"""The built-in model: the face as a whole, a small VToonify, palette, degree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtoon.image import luma
from vtoon.models.bake import bake
from vtoon.models.face_net import PARTS, POOL, SKIN, FaceNet, face_tones, warp
from vtoon.models.palettes import Palettes
from vtoon.models.style_codes import StyleCodes
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.ops import arithmetic
from vtoon.ops.squares import enlarged, folded, means, unfolded

# 5.1 GFLOP at 256x256, 4.8 MB. It sees and draws squares of 2x2 pixels: features of the whole size are so many that the
# few channels they may have leave a processor half idle, a third of its time in a network that has them.
SMALL = VToonifyConfig(
    backbone="toonify",
    in_size=128,
    out_size=128,
    in_channels=4 * 4 + len(PARTS),
    out_channels=4 * 3,
    style_dim=64,
    mapping_layers=0,
    stem_channels=32,
    feature_norm=True,
    kernel_bank=8,
    channels={4: 4, 8: 4, 16: 4, 32: 80, 64: 64, 128: 32},
)
# For one style on a machine that has little: 1.6 GFLOP at 256x256, 1.6 MB.
LIVE = replace(SMALL, stem_channels=16, kernel_bank=4, channels={4: 4, 8: 4, 16: 4, 32: 48, 64: 32, 128: 16})
Finish = Callable[[Tensor, Tensor, Tensor], Tensor]  # drawing, photo in its shape [N, 3, H, W], field -> drawing
LIGHTER = 0.3  # of what skin was drawn lighter than it is remains, where its tone is held
PITCH = 8  # px: the printer's screen repeats with the encoder's stride, so that the network can keep in step with it


class BuiltinVToonify(nn.Module):
    """Photo to drawing at the same size, by look, palette and degree.

    parts, field, tones = face(x) · x' = warp(x, degree * field)
    drawing = ground(soft(x')) + detail * (x' - soft(x')) + vtoonify(x', parts; look, tones)
    y = x' + degree * (palette(drawing) - x')

    The photo itself comes back at degree 0, and both shape and appearance grow evenly up to 1. The drawing starts from
    the photo's soft tones alone: from the whole photo, the network would spend most of its training on taking skin and
    hair away again. What colour does to these tones in general, each look knows as a matrix: paper stays white. A look
    that keeps the scene as it is keeps a share of the photo's fine detail too, which costs no network.
    """

    def __init__(self, looks: Sequence[str], palettes: Sequence[str], config: VToonifyConfig = SMALL) -> None:
        super().__init__()
        self.net = VToonify(config)
        self.net.open_fusion()
        self.codes = StyleCodes(looks, config.num_latents, config.style_dim)
        self.face = FaceNet(len(looks))
        self.palettes = Palettes(palettes)
        self.grounds = nn.Parameter(torch.eye(3, 4).repeat(len(looks), 1, 1))  # colour matrix and shift of each look
        self.details = nn.Parameter(torch.zeros(len(looks)))  # how much of the photo's fine detail each look keeps
        self.register_buffer("holds", torch.zeros(len(looks)))  # whether a look holds the skin's own tone
        self.register_buffer("traits", torch.zeros(len(looks)))  # how far beyond the mean face it goes; needs landmarks
        self.register_buffer("eyes", torch.zeros(len(looks)))  # whether its eyes are painted anew; needs landmarks

    def forward(
        self,
        x: Tensor,
        look: Tensor,
        palette: Tensor | None,
        degree: Tensor,
        eye_distance: Tensor,
        dtype: torch.dtype = torch.float32,
        tones: Tensor | None = None,
        field: Tensor | None = None,
        net: VToonify | None = None,
        finish: Finish | None = None,
    ) -> Tensor:
        """x: [N, 3, H, W] in [-1, 1]; look, palette: long [N], no palette: the drawing's own colours; degree [N, 1] in
        [0, 1]; eye_distance [N, 1] px; `dtype` of the network that draws; tones: [N, 7], see `face_tones`, measured on
        x where None; field: [N, 2, h, w] px, the backward map at degree 1, the look's own where None; net: see `baked`;
        finish: what is done to the full drawing before its palette.
        Returns float32 [N, 3, H, W], about [-1, 1].
        """
        small = means(x, POOL)
        with arithmetic(x.device, dtype):
            fields, parts = self.face(small, eye_distance)
        fields, parts = fields.float(), parts.float().sigmoid()
        if field is None:
            field = _own(fields, look, eye_distance)
        field = field * degree[:, :, None, None]
        reshaped = warp(x, field).contiguous(memory_format=torch.channels_last)  # layouts that differ take longer
        tones = face_tones(small, parts) if tones is None else tones
        parts = warp(parts, field / POOL)
        drawing = self.draw(reshaped, parts, look, eye_distance, tones, dtype, net)
        hold = self.holds[look]
        if torch.compiler.is_compiling() or hold.any():  # a graph that is traced cannot ask
            drawing = hold_tone(drawing, parts[:, SKIN], tones[:, :3], hold)
        if finish is not None:
            drawing = finish(drawing, reshaped, field)
        if palette is not None:
            drawing = self.palettes(drawing, palette)
        return reshaped.lerp_(drawing, degree[:, :, None, None])

    def tones(self, x: Tensor, eye_distance: Tensor) -> Tensor:
        """What `forward` measures: [N, 3, H, W] in [-1, 1] and [N, 1] px -> [N, 7], see `face_tones`."""
        small = means(x, POOL)
        return face_tones(small, self.face(small, eye_distance)[1].sigmoid())

    def shape(self, x: Tensor, look: Tensor, eye_distance: Tensor) -> Tensor:
        """The backward map that `forward` takes where none is told: [N, 2, H / 8, W / 8] px at degree 1."""
        fields = self.face(means(x, POOL), eye_distance)[0]
        return _own(fields, look, eye_distance)

    def draw(
        self,
        reshaped: Tensor,
        parts: Tensor,
        look: Tensor,
        eye_distance: Tensor,
        tones: Tensor,
        dtype: torch.dtype = torch.float32,
        net: VToonify | None = None,
    ) -> Tensor:
        """The full drawing of a photo that has its shape already; parts: [N, 8, H / 4, W / 4] in [0, 1]."""
        code, ones = self.codes(look, eye_distance, tones), torch.ones_like(eye_distance)
        last = torch.channels_last
        fold = self.net.config.fold
        where = F.interpolate(parts.contiguous(memory_format=last), scale_factor=POOL // fold, mode="bilinear")
        pictures = (part.to(dtype, memory_format=last) for part in (reshaped, screen(reshaped)))
        seen = torch.cat([*(folded(part, fold) for part in pictures), where.to(dtype)], 1)
        ground, detail = self.grounds[look], self.details[look][:, None, None, None]
        small = means(reshaped, POOL)
        tinted = torch.einsum("nij,njhw->nihw", ground[:, :, :3], small) + ground[:, :, 3:, None] - detail * small
        soft = enlarged(tinted.contiguous(memory_format=last), POOL).addcmul_(detail, reshaped)
        if net is None:
            alone = len(code) == 1 and not torch.is_grad_enabled()  # one style: plain convolutions are faster
            net = bake(self.net, code, ones) if alone else self.net
        with arithmetic(seen.device, dtype):
            drawn = net(seen, code, ones)
        return soft.add_(unfolded(drawn, fold))

    def baked(self, look: Tensor, eye_distance: Tensor, tones: Tensor) -> VToonify:
        """The network that draws, for one face's look [1], size [1, 1] px and tones [1, 7]: `forward` bakes one for
        each picture unless it is given one."""
        return bake(self.net, self.codes(look, eye_distance, tones), torch.ones_like(eye_distance))

    @torch.no_grad()
    def adopt(self, other: BuiltinVToonify) -> None:
        """Start from a trained model (transfer); of one of other widths, the part that sees the whole face is taken.

        Looks that both know keep their code and shape; new ones start near the other's first.
        """
        if other.net.config == self.net.config:
            self.net.load_state_dict(other.net.state_dict(), strict=False)
            self.codes = other.codes.grow(self.codes.names)
        rows = [other.codes.names.index(name) if name in other.codes.names else 0 for name in self.codes.names]
        state = other.face.state_dict()
        for key in ("fields.weight", "fields.bias"):
            state[key] = state[key].unflatten(0, (-1, 2))[rows].flatten(0, 1)
        self.face.load_state_dict(state)
        self.grounds.copy_(other.grounds[rows])
        self.details.copy_(other.details[rows])
        known = torch.tensor([float(name in other.codes.names) for name in self.codes.names])
        for name in ("holds", "traits", "eyes"):
            getattr(self, name).copy_(getattr(other, name)[rows].cpu() * known)

    def of_looks(self, looks: Sequence[str]) -> BuiltinVToonify:
        """A model of these looks with this one's network and palettes; see `adopt`."""
        model = BuiltinVToonify(looks, self.palettes.names, self.net.config)
        model.adopt(self)
        model.palettes.load_state_dict(self.palettes.state_dict())
        return model


def _own(fields: Tensor, look: Tensor, eye_distance: Tensor) -> Tensor:
    """Of all looks' fields [N, looks, 2, h, w], in eye distances, each face's own: [N, 2, h, w] px."""
    return fields[torch.arange(len(fields), device=fields.device), look] * eye_distance[:, :, None, None]


def hold_tone(drawing: Tensor, skin: Tensor, colour: Tensor, hold: Tensor) -> Tensor:
    """A drawing [N, 3, H, W] in [-1, 1] darkened by a curve, where its skin is lighter than in the photo: a look that
    learned from portraits in good light takes dark skin for a dark room. White stays white.

    skin: [N, h, w] in [0, 1], a quarter of the size; colour: the photo's mean over it [N, 3]; hold [N]: 0 leaves all.
    """
    light = ((luma(drawing) + 1) / 2).clamp(1e-3, 1.0)[:, None]
    drawn = (means(light, POOL)[:, 0] * skin).sum((-2, -1)) / (skin.sum((-2, -1)) + 1e-3)
    own = (luma(colour[:, :, None, None])[:, 0, 0] + 1) / 2
    own, drawn = own.clamp(0.05, 0.95), drawn.clamp(0.05, 0.95)
    wanted = own + LIGHTER * (drawn - own).clamp_min(0)
    gamma = 1 + hold * (wanted.log() / torch.maximum(own, drawn).log() - 1).clamp_min(0)
    return (drawing + 1) * light ** (gamma[:, None, None, None] - 1) - 1


def screen(x: Tensor) -> Tensor:
    """The printer's halftone screen for [N, C, H, W]: [N, 1, H, W] in [-1, 1], locked to the pixel grid."""
    rows, cols = (torch.cos((torch.arange(n, device=x.device) + 0.5) * (2 * torch.pi / PITCH)) for n in x.shape[-2:])
    return (rows[:, None] * cols).to(x.dtype).expand(len(x), 1, -1, -1)
