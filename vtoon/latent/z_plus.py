"""Style codes in Z+ of pictures: what DualStyleGAN is taught and drawn with.

By a pSp encoder where there is one, else by search; and destylization, which finds the face that a drawing may be of
(Yang et al. 2022, "Pastiche Master", section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.latent.likeness import Identity, find_landmarks
from vtoon.latent.sampler import Sampler
from vtoon.models.dualstylegan import NUM_STRUCTURE_LAYERS
from vtoon.models.stylegan2 import truncate
from vtoon.ops.inversion import noise_regularize, normalize_noise_, ramped
from vtoon.painters.companions import AveragedEncoder
from vtoon.weights.perceptual import Likeness
from vtoon.weights.vgg19 import reduced

FIRST_COLOUR = NUM_STRUCTURE_LAYERS + 1  # rows from here on stay the encoder's: 8..17 of 18
ENCODER_SIZE = 256  # px
SEEDS = range(64)  # faces of which the likest is where a search begins
Watch = Callable[[int], None]


@dataclass(frozen=True)
class CodeSearch:
    """The published settings of destylize.py."""

    steps: int = 300
    lr: float = 0.1  # at its peak; Adam
    identity: float = 0.1  # weight of 1 - cosine of the face embeddings
    spread: float = 1.0  # weight of the standard deviation over a code's rows
    noise_regularize: float = 1e5
    pixel: float = 0.0  # weight of the mean squared difference
    truncation: float = 0.7  # of the face that a drawing is taken for

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 10**6:
            raise VtoonError(f"iter is {self.steps}; it must be 1 to 1000000")
        if not 0 <= self.truncation <= 1:
            raise VtoonError(f"truncation is {self.truncation:g}; it must be 0 to 1")


def search_code(
    sampler: Sampler,
    targets: Tensor,
    start: Tensor,
    options: CodeSearch,
    likeness: Likeness | None,
    watch: Watch = lambda step: None,
) -> Tensor:
    """Codes in Z+ [N, L, D] whose pictures are like targets [N, 3, S, S]: stage II of destylization, equation 1.

    Noise maps are searched along, and given up at the end. Each picture goes its own way.
    """
    code = start.clone().requires_grad_(True)
    maps = [
        getattr(sampler.net.noises, f"noise_{i}").repeat(len(targets), 1, 1, 1).requires_grad_(True)
        for i in range(sampler.rows - 1)
    ]
    optimizer = torch.optim.Adam([code, *maps], options.lr)
    landmarks = find_landmarks(targets) if options.identity else []
    identity = Identity(targets, landmarks) if any(landmarks) else None
    with torch.no_grad():
        wanted = likeness.features(reduced(targets)) if likeness else []
    for step in range(options.steps):
        watch(step)
        optimizer.param_groups[0]["lr"] = options.lr * ramped(step / options.steps)
        images = sampler.net(sampler.net.zplus2wplus(code), maps)
        loss = options.spread * code.std(1).mean(1).sum() + options.noise_regularize * noise_regularize(maps)
        if likeness:
            loss = loss + likeness.distance(likeness.features(reduced(images)), wanted).sum()
        if identity:
            loss = loss + options.identity * identity.distance(images).sum()
        if options.pixel or not likeness:
            loss = loss + (options.pixel or 1.0) * F.mse_loss(images, targets, reduction="none").mean((1, 2, 3)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        normalize_noise_(maps)
    return code.detach()


class Reader:
    """Reads codes in Z+ off faces [N, 3, S, S] in [-1, 1]: by an encoder, or by search in the generator of faces."""

    def __init__(
        self, faces: Sampler, encoder: AveragedEncoder | None, likeness: Likeness | None, options: CodeSearch
    ) -> None:
        """Raises VtoonError where the encoder is for another generator."""
        self.faces, self.encoder, self.likeness, self.options = faces, encoder, likeness, options
        if encoder is not None and len(encoder.encoder.styles) != faces.rows:
            raise VtoonError(
                f"the encoder tells {len(encoder.encoder.styles)} rows of a style code, {faces.path} takes {faces.rows}"
            )

    def __call__(self, images: Tensor, watch: Watch = lambda step: None) -> Tensor:
        """[N, L, D]."""
        if self.encoder is None:
            return search_code(self.faces, images, self.likest(images), self.options, self.likeness, watch)
        with torch.no_grad():
            size = (ENCODER_SIZE, ENCODER_SIZE)
            small = images.shape[-1] < ENCODER_SIZE
            seen = F.interpolate(images, size, mode="bilinear") if small else F.adaptive_avg_pool2d(images, size)
            return self.encoder(seen)

    @torch.no_grad()
    def likest(self, images: Tensor) -> Tensor:
        """Of the faces of 64 seeds those most like the images, [N, L, D]."""
        z = self.faces.noise(SEEDS)
        drawn = self.faces.draw(self.faces.of_noise(z))
        small = [F.adaptive_avg_pool2d(x, min(32, self.faces.size)).flatten(1) for x in (images, drawn)]
        best = torch.cdist(*small).argmin(1)
        return z[best][:, None].repeat(1, self.faces.rows, 1)


@dataclass(frozen=True)
class Destylized:
    """What was found for N drawings."""

    extrinsic: Tensor  # [N, L, D]: the encoder's code of the drawing
    intrinsic: Tensor  # [N, L, D]: of the face that it may be of
    drawn: Tensor  # [N, 3, S, S]: the drawing as the fine-tuned generator draws it
    face: Tensor  # [N, 3, S, S]: the face
    again: Tensor  # [N, 3, S, S]: the face as its code has it


def destylize(
    faces: Sampler,
    artist: Sampler,
    read: Reader,
    drawings: Tensor,
    options: CodeSearch,
    likeness: Likeness | None,
    watch: Watch = lambda step: None,
) -> Destylized:
    """The three stages of section 3.1 for drawings [N, 3, S, S]. `faces`: the generator of photos; `artist`: the same
    fine-tuned on drawings."""
    extrinsic = read(drawings)  # stage I
    found = search_code(artist, drawings, extrinsic, options, likeness, watch)  # stage II
    found = torch.cat([found[:, :FIRST_COLOUR], extrinsic[:, FIRST_COLOUR:]], 1)
    with torch.no_grad():
        w = truncate(faces.net.zplus2wplus(found), faces.mean, options.truncation)
        face = faces.draw(w)
    intrinsic = read(face.clamp(-1, 1))  # stage III
    with torch.no_grad():
        drawn = artist.draw(artist.net.zplus2wplus(found))
        return Destylized(extrinsic, intrinsic, drawn, face, faces.draw(faces.net.zplus2wplus(intrinsic)))
