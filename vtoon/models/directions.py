"""Directions in latent space that a generator's weights tell by themselves.

Source: Shen and Zhou, Closed-Form Factorization of Latent Semantics in GANs (SeFa), CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vtoon.models.stylegan2 import Generator


def modulation_weights(generator: Generator) -> list[Tensor]:
    """What turns each row of a style code into the scales of a layer, [channels, D] each: of the convolution that reads
    the row, and for the last row of the RGB layer, which alone reads it."""
    layers = [generator.conv1, *generator.convs, ([generator.to_rgb1, *generator.to_rgbs])[-1]]
    return [layer.conv.modulation.weight.detach() * layer.conv.modulation.scale for layer in layers]


def eigenvectors(matrix: Tensor) -> Tensor:
    """Of A^T A for A [M, D]: orthonormal [D, D], one in each row, the one that moves A's output most first (eq. 4).

    Signs are arbitrary; here the largest component is positive, so that every run gives the same ones.
    """
    values, vectors = torch.linalg.eigh((matrix.T @ matrix).cpu().double())  # MPS has neither
    vectors = vectors.T[values.argsort(descending=True)]
    signs = vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    return (vectors * signs).to(matrix)


def factorize(generator: Generator, rows: Sequence[int] | None = None) -> Tensor:
    """[D, D], one direction in each row: SeFa over the modulation of the given rows of a style code (None: all)."""
    weights = modulation_weights(generator)
    return eigenvectors(torch.cat([weights[i] for i in (range(len(weights)) if rows is None else rows)]))


def closed_form_factorization(
    generator: Generator, rows: Sequence[int] | None = None, count: int | None = None, length: float = 1.0
) -> Tensor:
    """Editing directions [n, L, D] in W+ as directions.npy holds them: n directions of `length`, in every row.

    `rows`: whose layers are asked (None: all); `count`: how many (None: as many as there are, D). Where only some rows
    are to be moved, take these: `w[:, rows] += directions[k, rows]`.
    """
    found = factorize(generator, rows)[:count]
    return (length * found)[:, None].repeat(1, generator.num_latents, 1)
