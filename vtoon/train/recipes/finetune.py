"""StyleGAN2 on a folder of pictures, from a model that can draw something else or from nothing (Karras et al. 2020,
"Analyzing and improving the image quality of StyleGAN"; "Training GANs with limited data").

One page. T changes pictures at random with chance p, so that few of them are enough. In turn,

    D       minimises  -log s(D(T(x))) - log(1 - s(D(T(G(z)))))
    D_r1    minimises  gamma / 2 |grad D(T(x))|^2, every 16th step, times 16
    G       minimises  -log s(D(T(G(z)))), and what keeps a resumed model's faces: structure, triplet
    G_path  minimises  (|J^T y| - a)^2: a step in w moves the picture alike everywhere; every 4th step, times 4

s: the logistic function. Adam's rates are corrected for the steps that a lazy term adds. Inference gets the average of
G's weights. What is frozen is left out of the optimizers. Penalties are computed in fp32 at any `dtype`.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vtoon.image import grid, to_uint8
from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator, truncate
from vtoon.ops import arithmetic, channels_last_, limit_activations_, sent
from vtoon.system.target import append
from vtoon.train.augment import AdaptiveAugment, Changes, augmented
from vtoon.train.dataset import Dataset
from vtoon.train.distributed import summed, world_size
from vtoon.train.ema import EMA
from vtoon.train.freeze import frozen_of_discriminator, frozen_of_generator, taught
from vtoon.train.lazy import PathMean, lazy_adam
from vtoon.train.lessons import FinetuneOptions, Latents, Lesson, Lessons
from vtoon.train.log import spared
from vtoon.train.losses import discriminator_loss, generator_loss, path_lengths, r1_penalty, structure_loss
from vtoon.train.quality import Quality
from vtoon.train.trainer import Phase
from vtoon.weights.generators import mean_latent
from vtoon.weights.snapshots import Start, save_snapshot

log = logging.getLogger("vtoon")
SURE = 0.9  # of r_t: D knows nearly every real picture
COLUMNS, PSI = 8, 0.7  # of previews
Term = Callable[[Tensor, Tensor], Tensor]  # pictures [N, 3, S, S] and their z [N, D] -> a scalar, weighted


class StyleGANFinetune:
    """D, D_r1, G, G_path."""

    folder_flag = "--outdir"  # what gives a run another folder

    def __init__(
        self,
        net: Generator,
        disc: Discriminator,
        data: Dataset,
        options: FinetuneOptions,
        average: Generator | None = None,
        source: Generator | None = None,
        extra: dict[str, Term] | None = None,
    ) -> None:
        """`average`: what the average starts from (default: `net`); `source`: the model that was resumed, for what is
        to stay as it draws (default: a copy of `average`, where one is needed); `extra`: more terms of G's loss."""
        o = self.options = options
        self.data, self.extra = data, extra or {}
        self.net, self.disc = (part.to(o.device).train().requires_grad_(False) for part in (net, disc))
        self.ema = EMA(average.to(o.device) if average is not None else net, warm_up=False)
        needed = o.freeze_style or o.structure_loss
        self.source = (source or copy.deepcopy(self.ema.module)).to(o.device).requires_grad_(False) if needed else None
        for part in filter(None, (self.net, self.disc, self.source)):
            if o.dtype is not torch.float32:
                limit_activations_(part)
        for part in filter(None, (self.net, self.disc, self.source, self.ema.module)):
            if o.channels_last:  # the average, too: both are gone through together
                channels_last_(part)
        self._grow = torch.compile(self._grown) if o.compile else self._grown
        self._answer = torch.compile(self.disc) if o.compile else self.disc
        self.gamma = 0.0002 * net.size**2 / o.images if o.gamma is None else o.gamma
        self.lessons = Lessons(net, data, o)
        self.ada = AdaptiveAugment(o.ada_target if self.lessons.pipe else None, int(1000 * o.ada_kimg), p=o.ada_p)
        self.path_mean = PathMean(o.device)
        self.taught_g = taught(self.net, frozen_of_generator(net, o.freeze_g, o.freeze_fc))
        self.taught_d = taught(self.disc, frozen_of_discriminator(disc, o.freeze_d))
        adam_d = lazy_adam(self.taught_d.values(), o.lr, o.d_every)
        adam_g = lazy_adam(self.taught_g.values(), o.lr, o.g_every if o.path_weight else 0)
        scalers = [torch.amp.GradScaler(o.device.type) if o.dtype is torch.float16 else None for _ in "DG"]
        self.phases = [
            Phase("D", self.discriminator_terms, adam_d, max_norm=None, scaler=scalers[0]),
            Phase("D_r1", self.r1_terms, adam_d, o.d_every, max_norm=None),
            Phase("G", self.generator_terms, adam_g, start=o.d_alone, max_norm=None, scaler=scalers[1]),
        ]
        if o.path_weight:
            self.phases.append(Phase("G_path", self.path_terms, adam_g, o.g_every, o.d_alone, max_norm=None))
        self.state: dict[str, Any] = {"g": self.net, "d": self.disc, "g_ema": self.ema, "g_optim": adam_g}
        self.state |= {"d_optim": adam_d, "ada": self.ada, "path_mean": self.path_mean}
        self.state |= {f"scaler_{name}": s for name, s in zip("DG", scalers, strict=True) if s}
        self.about = {"recipe": "StyleGANFinetune"} | self._about()
        self.measure: Quality | None = None  # what is said of each snapshot
        self._drawn, self._warned = None, False

    def go_on(self, start: Start) -> int:
        """Take over what a snapshot says of a training on the same pictures with the same settings: returns its steps,
        from which an unbroken run goes on. Of any other, only the networks count, and 0 is returned."""
        if start.about != self.about:
            return 0
        for name, part in self.state.items():
            part.load_state_dict(start.parts[name])
        return start.step

    def take_optimizers(self, start: Start) -> None:
        """Where they fit, those of a model that is resumed, and its p, for training that goes on with its count."""
        for name in ("g_optim", "d_optim"):
            part, found = self.state[name], start.parts.get(name)
            if found and _fits(found, part):
                part.load_state_dict({**found, "param_groups": part.state_dict()["param_groups"]})
        if self.ada.target is not None:
            self.ada.p = float(start.parts.get("ada", {}).get("p", self.ada.p))

    def _about(self) -> dict[str, str]:
        o = self.options
        kept = {k: v for k, v in vars(o).items() if k not in ("device", "dtype", "compile", "channels_last")}
        kept |= {"d_alone": o.d_alone} if kept.pop("d_alone") else {}  # runs from before go on
        sizes = " ".join(f"{r}:{c}" for r, c in self.net.channels.items())
        settings = {name: str(value) for name, value in kept.items()}
        others = {"data": self.data.about, "network": sizes, "processes": str(world_size())}
        return others | {"terms": " ".join(sorted(self.extra))} | settings

    def next_batch(self, step: int) -> Lesson:
        return self.lessons.at(step, self.ada.p)

    # Drawing and judging

    def rows_of(self, latents: Latents) -> Tensor:
        """w+ [N, L, D]."""
        w_plus = self._mixed(self.net, latents)
        if not self.options.freeze_style:
            return w_plus
        kept = self._mixed(self.source, latents)[:, : self.options.freeze_style]
        return torch.cat([kept, w_plus[:, self.options.freeze_style :]], 1)

    def _mixed(self, net: Generator, latents: Latents) -> Tensor:
        w = net.style(latents.z)[:, None]
        if not self.options.mixing:
            return w.repeat(1, net.num_latents, 1)
        rows = torch.arange(net.num_latents, device=w.device)
        return torch.where((rows < latents.cross)[:, :, None], w, net.style(latents.other)[:, None])

    def _grown(self, w_plus: Tensor, noise: tuple[Tensor, ...]) -> list[Tensor]:
        return [rgb for _, rgb in self._growing(self.net, w_plus, noise)]

    def _growing(self, net: Generator, w_plus: Tensor, noise: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, Tensor]]:
        if not self.options.channels_last:
            return net.grow(w_plus, list(noise))
        laid = torch.channels_last
        return net.grow(w_plus, list(noise), lambda i, x: x if i else x.contiguous(memory_format=laid))

    def draw(self, latents: Latents) -> list[Tensor]:
        """Pictures at 4, 8, ... px, the last [N, 3, S, S]."""
        w_plus = self.rows_of(latents)
        with arithmetic(self.options.device, self.options.dtype):
            return [rgb.float() for rgb in self._grow(w_plus, latents.noise)]

    def _fake(self, b: Lesson) -> list[Tensor]:
        """Drawn once for D and for G, with the graph that G's step needs. Of a batch that is gone through in parts,
        whose graphs together would need the memory of the whole, each phase draws its own."""
        if len(b.real) < b.batch:
            return self.draw(b.fake)
        if self._drawn is None:
            for p in self.taught_g.values():
                p.requires_grad_(True)
            self._drawn = self.draw(b.fake)
        return self._drawn

    def judge(self, images: Tensor, changes: Changes | None) -> Tensor:
        seen = self._laid(augmented(images, changes))
        with arithmetic(self.options.device, self.options.dtype):
            return self._answer(seen).float()

    def _laid(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if self.options.channels_last else x

    # The four losses

    def discriminator_terms(self, b: Lesson) -> dict[str, Tensor]:
        real = self.judge(b.real, b.real_seen)
        fake = self.judge(self._fake(b)[-1].detach(), b.fake_seen)
        self.ada.see(real)
        return {"loss": discriminator_loss(real, fake)}

    def r1_terms(self, b: Lesson) -> dict[str, Tensor]:
        """In the pictures as D sees them: changes keep distances, but for holes and colours, and no second derivative
        of the resampling is needed."""
        seen = self._laid(augmented(b.real, b.real_seen)).detach().requires_grad_(True)
        return {"r1": self.gamma / 2 * r1_penalty(self.disc(seen), seen)}

    def generator_terms(self, b: Lesson) -> dict[str, Tensor]:
        drawn = self._fake(b)
        self._drawn = None
        terms = {"loss": generator_loss(self.judge(drawn[-1], b.guessed))}
        if levels := self.options.structure_loss:
            meant = self._meant(b.fake, levels)
            terms["structure"] = self.options.structure_weight * structure_loss(drawn[1 : 1 + levels], meant)
        for name, term in self.extra.items():
            terms[name] = term(drawn[-1], b.fake.z)
        return terms

    @torch.no_grad()
    def _meant(self, latents: Latents, levels: int) -> list[Tensor]:
        """What the source has drawn at 8, 16, ... px."""
        w_plus = self._mixed(self.source, latents)
        with arithmetic(self.options.device, self.options.dtype):
            grown = islice(self._growing(self.source, w_plus, latents.noise), 1, 1 + levels)
            return [rgb.float() for _, rgb in grown]

    def path_terms(self, b: Lesson) -> dict[str, Tensor]:
        w_plus = self.rows_of(b.path)
        lengths = path_lengths(self._grown(w_plus, b.path.noise)[-1], w_plus, b.direction)
        return {"path": self.options.path_weight * (lengths - self.path_mean.moved(lengths)).square().mean()}

    # Between steps

    def end_step(self, step: int) -> None:
        self._drawn = None  # where G's step was not due
        o, seen = self.options, (step + 1) * self.options.images
        half = 1000 * (o.images * 10 / 32 if o.ema_kimg is None else o.ema_kimg)
        half = half if o.ema_rampup is None else min(half, seen * o.ema_rampup)
        self.ema.decay = 0.5 ** (o.images / max(half, 1e-8))
        self.ema.update(self.net, step)
        looked, at_its_end = self.ada.step(summed), not self.lessons.pipe or self.ada.p > 0.99
        if looked and at_its_end and self.ada.r_t > SURE and not self._warned:
            self._warned = True
            log.warning(
                "step %d: the discriminator knows the pictures by heart (r_t %.2f, p %.2f): take an earlier snapshot, "
                "more pictures, --mirror, or a larger --gamma",
                step, self.ada.r_t, self.ada.p,
            )  # fmt: skip

    def figures(self) -> dict[str, float]:
        """What the log says besides the terms."""
        return {"p": self.ada.p, "r_t": self.ada.r_t}

    @torch.no_grad()
    def preview(self) -> np.ndarray:
        """Seeds as `vtoon generate` counts them; with a source, in turn a row of its faces and one of the same latents
        taught."""
        nets = [self.ema.module] if self.source is None else [self.source, self.ema.module]
        rows = [list(self._sheet_of(net)) for net in nets]
        return grid([row for pair in zip(*rows, strict=True) for row in pair])

    def _sheet_of(self, net: Generator) -> Iterator[list[np.ndarray]]:
        mean, dim = mean_latent(net), net.style[1].weight.shape[1]
        for first in range(0, 4 * COLUMNS if self.source is None else 2 * COLUMNS, COLUMNS):
            z = np.stack([np.random.RandomState(seed).randn(dim) for seed in range(first, first + COLUMNS)])
            w = truncate(net.style(sent(torch.tensor(z, dtype=torch.float32), self.options.device)), mean, PSI)
            yield list(to_uint8(torch.cat([net(part) for part in net.to_w_plus(w).split(4)])))

    def kimg(self, step: int) -> int:
        return step * self.options.images // 1000

    def name_of(self, step: int) -> str:
        """Of a snapshot: as StyleGAN2-ADA's, by kimg."""
        return f"network-snapshot-{self.kimg(step):06d}"

    def export(self, folder: Path, step: int) -> None:
        """In the published layout."""
        parts = {name: part.state_dict() for name, part in self.state.items()}
        mean = mean_latent(self.ema.module)
        name = self.name_of(step)
        save_snapshot(folder / f"{name}.pt", parts, mean, step, self.about)
        if self.measure is not None:
            found = self.measure(self.ema.module)
            said = ", ".join(f"{key.split(' by ')[0]} {value:.4g}" for key, value in found.items())
            print(f"{name}: {said} by {self.measure.features.name} ({self.measure.count} pictures)", flush=True)
            with spared(folder):
                append(
                    folder / "metrics.jsonl", (json.dumps({"snapshot": name, "step": step, **found}) + "\n").encode()
                )

    def close(self) -> None:
        self.data.close()


def _fits(found: dict[str, Any], adam: torch.optim.Optimizer) -> bool:
    """Whether a file's moments are of these parameters, as far as shapes tell."""
    wanted = [p.shape for group in adam.param_groups for p in group["params"]]
    moments = found.get("state")
    if not isinstance(moments, dict) or set(moments) != set(range(len(wanted))):
        return False
    return all(getattr(moments[i].get("exp_avg_sq"), "shape", None) == shape for i, shape in enumerate(wanted))
