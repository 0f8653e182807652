"""`vtoon dual refine`: style codes brought nearer to their artworks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vtoon.cli.dual_codes import SHOWN, codes_so_far, gone_through
from vtoon.cli.dual_common import DESTYLIZE, FileName, N, OfArtworks, Perceptual, named

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Refine(OfArtworks):
    """Bring each artwork's extrinsic code nearer to the artwork: refined_exstyle_code.npy.

    It is written after every picture; the same command goes on with those that are missing.
    """

    iter: N = 100
    """Steps for each batch."""
    lr_color: float = 0.01
    """Of Adam, for the rows that colour."""
    lr_structure: float = 0.005
    """Of Adam, for the rows that shape."""
    model_name: FileName = "generator.pt"
    """The DualStyleGAN, in MODEL_PATH/STYLE, or a path."""
    refined_name: FileName = "refined_exstyle_code.npy"
    """Of the result."""
    contextual: Perceptual = "auto"
    """The contextual loss' features: VGG19's as published, their stand-in; auto: VGG19's where they are already."""

    def run(self) -> None:
        import torch

        from vtoon.image import to_uint8
        from vtoon.latent.dual import load_artist
        from vtoon.latent.refine import Refinement, refine
        from vtoon.train.dataset import Dataset
        from vtoon.train.recipes.dual_finetune import artworks_of
        from vtoon.weights.duals import load_codes_of
        from vtoon.weights.perceptual import load_perceptual
        from vtoon.weights.vgg19 import load_vgg19

        pictures, folder = self.begin(), self.folder
        options = Refinement(self.iter, self.lr_color, self.lr_structure)
        artist = load_artist(named(self.model_name, folder), self.device)
        net, device = artist.net.generator, artist.faces.device
        codes = [load_codes_of(folder / name, net, DESTYLIZE) for name in (self.exstyle_name, self.instyle_name)]
        data = Dataset(pictures, net.size, device, most=0)
        artworks_of(data, *codes)  # every picture has its codes
        file = codes_so_far(folder / self.refined_name, data.names, net, self.resume)
        likeness, sight = load_perceptual(self.perceptual, device), load_vgg19(self.contextual, device)
        todo = [name for name in data.names if name not in file.known]
        rows: list[list[np.ndarray]] = []

        def work(names: list[str], art: Tensor, watch: Callable[[int], None]) -> None:
            extrinsic, intrinsic = (torch.cat([found[name] for name in names]).to(device) for found in codes)
            refined = refine(artist, art, extrinsic, intrinsic, options, likeness, sight, watch)
            file.known.update(zip(names, refined.cpu().split(1), strict=True))
            file.save(data.names)
            if len(rows) < SHOWN:
                ones, face = artist.weights(structure=1.0), artist.w_of(intrinsic)
                drawn = (artist.draw(face, artist.w_of(code), ones) for code in (extrinsic, refined))
                rows.extend(map(list, zip(*(to_uint8(x) for x in (art, *drawn)), strict=True)))

        try:
            gone_through(data, todo, self.batch, self.iter, self.messages, "refine", work)
        finally:
            data.close()
        self.show("refine.png", rows[:SHOWN], ["artwork", "before", "refined"])
        if not self.messages.quiet:
            print(f"{file.path}: codes of {len(data)} artworks (compared by {likeness.name}; {sight.name})")
