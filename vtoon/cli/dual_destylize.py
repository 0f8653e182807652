"""`vtoon dual destylize`: the style codes of artworks, and those of the faces in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from vtoon.cli.common import say_error
from vtoon.cli.dual_codes import SHOWN, Codes, codes_so_far, gone_through
from vtoon.cli.dual_common import BASE, FINETUNED, File, FileName, N, OfArtworks, named

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from vtoon.train.dataset import Dataset


@dataclass(frozen=True)
class Destylize(OfArtworks):
    """Find, for each artwork, its extrinsic code and the intrinsic one of the face that it may be of.

    Writes exstyle_code.npy and instyle_code.npy to MODEL_PATH/STYLE, as far as they are, after every picture; the same
    command goes on with those that are missing. A sheet in log/STYLE shows what was found.
    """

    truncation: Annotated[float, arg(metavar="PSI")] = 0.7
    """Of the face: less is more of an average, and less drawn."""
    iter: N = 300
    """Steps for each batch."""
    model_name: FileName = FINETUNED
    """The StyleGAN2 that was fine-tuned on the artworks (`vtoon finetune`), in MODEL_PATH/STYLE, or a path."""
    base: File = None
    """The StyleGAN2 of photos that it was fine-tuned from (default: in MODEL_PATH, by its published name)."""
    encoder: File = None
    """The style encoder, Z+ (default: encoder.pt in MODEL_PATH). Without one, codes are searched by its generator."""

    def run(self) -> None:
        from vtoon.latent.sampler import load_sampler
        from vtoon.latent.toonify import check_pair
        from vtoon.latent.z_plus import CodeSearch, Reader
        from vtoon.train.dataset import Dataset
        from vtoon.weights.perceptual import load_perceptual

        pictures, folder = self.begin(), self.folder
        options = CodeSearch(steps=self.iter, truncation=self.truncation)
        faces = load_sampler(self.base or self.model_path / BASE, self.device)
        artist = load_sampler(named(self.model_name, folder), self.device)
        check_pair(faces, artist)
        data = Dataset(pictures, faces.size, faces.device, most=0)
        files = [codes_so_far(folder / name, data.names, faces.net, self.resume) for name in
                 (self.exstyle_name, self.instyle_name)]  # fmt: skip
        likeness = load_perceptual(self.perceptual, faces.device)
        read = Reader(faces, self._encoder(faces.device), likeness, options)
        todo = [name for name in data.names if not all(name in file.known for file in files)]
        rows: list[list[np.ndarray]] = []

        def work(names: list[str], drawings: Tensor, watch: Callable[[int], None]) -> None:
            from vtoon.image import to_uint8
            from vtoon.latent.z_plus import destylize

            found = destylize(faces, artist, read, drawings, options, likeness, watch)
            for file, codes in zip(files, (found.extrinsic, found.intrinsic), strict=True):
                file.known.update(zip(names, codes.cpu().split(1), strict=True))
                file.save(data.names)
            if len(rows) < SHOWN:
                columns = (to_uint8(x) for x in (drawings, found.drawn, found.face, found.again))
                rows.extend(map(list, zip(*columns, strict=True)))

        try:
            gone_through(data, todo, self.batch, self.iter, self.messages, "destylize", work)
        finally:
            data.close()
        self._end(files, rows, len(todo), data, likeness.name)

    def _encoder(self, device: torch.device) -> object | None:
        from vtoon.painters.companions import load_encoder

        path = self.encoder or self.model_path / "encoder.pt"
        if self.encoder is None and not path.is_file():
            if not self.messages.quiet:
                say_error(f"{path} is not there: codes are searched by the generator of faces, {self.iter} steps each",
                          "note")  # fmt: skip
            return None
        return load_encoder(path).to(device)

    def _end(self, files: list[Codes], rows: list, done: int, data: Dataset, name: str) -> None:
        self.show("destylize.png", rows[:SHOWN], ["artwork", "fine-tuned", "face", "its code"])
        if not self.messages.quiet:
            had = f", {len(data) - done} had theirs" if len(data) > done else ""
            for file in files:
                print(f"{file.path}: codes of {len(data)} artworks{had} (compared by {name})")
