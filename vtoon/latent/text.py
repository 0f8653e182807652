"""Moved by words: a latent (StyleCLIP's optimisation) or the generator itself (StyleGAN-NADA).

Sources: Patashnik et al., StyleCLIP, ICCV 2021, section 4; Gal et al., StyleGAN-NADA, SIGGRAPH 2022, sections 4.2, 4.3.
A scorer puts pictures and texts into one space. OpenCLIP is one (extra [text]); anything of its two methods will do.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vtoon.errors import VtoonError, describe, needs_extra
from vtoon.latent.sampler import Sampler, sampler_of
from vtoon.models.stylegan2 import Generator
from vtoon.ops.inversion import ramped

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Scorer(Protocol):
    """Pictures and texts as points of one space."""

    def embed_images(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] to [N, E], differentiable."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """To [len(texts), E]."""


class OpenClip:
    """A model of OpenCLIP. Weights by the name of what they were trained on, or as a file."""

    def __init__(self, model: str = "ViT-B-32", weights: str = "openai", device: torch.device | str = "cpu") -> None:
        """Raises VtoonError where open_clip_torch or the weights are not here and cannot be had."""
        with needs_extra("text"):
            import open_clip
        if os.sep in weights and not Path(weights).is_file():
            raise VtoonError(f"{weights}: no such file of CLIP weights")
        try:
            with _quiet():
                self._net = open_clip.create_model(model, pretrained=weights).to(device).eval().requires_grad_(False)
                self._words = open_clip.get_tokenizer(model)
        except Exception as error:  # the hub's, urllib's, open_clip's own: they share no base class
            raise VtoonError(
                f"CLIP {model}, weights {weights!r}, cannot be had ({describe(error)[:120]}); "
                "without a network, give the file with --clip_weights PATH"
            ) from None
        size = self._net.visual.image_size
        self._size = size if isinstance(size, int) else size[0]
        self._mean, self._std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
        self._device = device

    def embed_images(self, images: Tensor) -> Tensor:
        mode = {"mode": "area"} if images.shape[-1] > self._size else {"mode": "bicubic", "align_corners": False}
        images = F.interpolate(images, (self._size, self._size), **mode)
        return self._net.encode_image(((images.clamp(-1, 1) + 1) / 2 - self._mean) / self._std)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return self._net.encode_text(self._words(list(texts)).to(self._device))


class Chorus:
    """Several scorers as one, whose points are theirs side by side: each has the same say."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self.scorers = tuple(scorers)

    def embed_images(self, images: Tensor) -> Tensor:
        return torch.cat([F.normalize(scorer.embed_images(images), dim=1) for scorer in self.scorers], 1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([F.normalize(scorer.embed_texts(texts), dim=1) for scorer in self.scorers], 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Others' loggers say every failed attempt twice; what comes of it is said once, by us."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def move_latent(
    sampler: Sampler,
    codes: Tensor,
    text: str,
    scorer: Scorer,
    steps: int = 300,
    lr: float = 0.1,
    l2_lambda: float = 0.008,
    watch: Callable[[int, float], None] = lambda step, loss: None,
) -> Tensor:
    """w+ [N, L, D] moved toward a text: 1 - cosine + l2_lambda |w - start|^2 is lowered (StyleCLIP, eq. 1)."""
    target = F.normalize(scorer.embed_texts([text]), dim=1)
    moved = codes.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([moved], lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * ramped(step / steps)
        seen = F.normalize(scorer.embed_images(sampler.net(moved)), dim=1)
        loss = ((1 - seen @ target.T).sum(1) + l2_lambda * (moved - codes).square().sum((1, 2))).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, float(loss.detach()) / len(codes))
    return moved.detach()


def strengthened(codes: Tensor, moved: Tensor, strength: float) -> Tensor:
    """On the straight line from where a latent was through where the text took it."""
    return codes + strength * (moved - codes)


@dataclass(frozen=True)
class NadaOptions:
    """StyleGAN-NADA's settings."""

    source: str = "photo"
    target: str = "cartoon"
    steps: int = 301
    batch: int = 2
    lr: float = 0.002
    layers: int | None = None  # trained at a time, chosen anew each step; None: two thirds
    truncation: float = 0.7
    seed: int = 0


def move_generator(
    sampler: Sampler,
    scorer: Scorer,
    options: NadaOptions,
    watch: Callable[[int, float], None] = lambda step, loss: None,
) -> Sampler:
    """A copy of the generator, taught by two texts: what a picture changes by points where the text does (eq. 3).

    Mapping network and RGB layers stay. In each step only the layers train that the target's text would move most.
    """
    frozen, net = sampler.net, copy.deepcopy(sampler.net)
    words = scorer.embed_texts([options.source, options.target])
    way = F.normalize(F.normalize(words[1:], dim=1) - F.normalize(words[:1], dim=1), dim=1)
    if not way.abs().sum() > 0:
        raise VtoonError(f"{options.source!r} and {options.target!r} mean the same to CLIP; give two different texts")
    layers = [net.conv1, *net.convs]
    parameters = [[p for p in layer.parameters() if p.ndim > 1] for layer in layers]
    optimizer = torch.optim.Adam([p for group in parameters for p in group], options.lr, betas=(0.0, 0.99))
    dice = torch.Generator().manual_seed(options.seed)
    for step in range(options.steps):
        z = torch.randn(options.batch, sampler.dim, generator=dice).to(sampler.device)
        with torch.no_grad():
            w = net.to_w_plus(torch.lerp(sampler.mean, net.style(z), options.truncation))
            before = F.normalize(scorer.embed_images(frozen(w)), dim=1)
        chosen = _moved_most(net, w, words[1:], scorer, options.layers or max(2 * len(layers) // 3, 1))
        for i, group in enumerate(parameters):
            for parameter in group:
                parameter.requires_grad_(i in chosen)
        change = F.normalize(scorer.embed_images(net(w)), dim=1) - before
        loss = (1 - F.cosine_similarity(change, way.expand_as(change), eps=1e-6)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        watch(step, float(loss.detach()))
    return sampler_of(net.requires_grad_(False), sampler.mean, sampler.path)


def _moved_most(net: Generator, w_plus: Tensor, target: Tensor, scorer: Scorer, count: int) -> set[int]:
    """Of the convolutions, those whose rows of w+ the text's own loss pulls most (section 4.3)."""
    w = w_plus.clone().requires_grad_(True)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    score = F.cosine_similarity(scorer.embed_images(net(w)), target)
    (pull,) = torch.autograd.grad(score.sum(), w)
    strength = pull.abs().mean((0, 2))[: len(net.convs) + 1]
    return set(strength.topk(min(count, len(strength))).indices.tolist())
