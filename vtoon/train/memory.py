"""What a step of VToonify's training will need, told before it starts: counted on tensors without memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vtoon.errors import VtoonError
from vtoon.models.discriminator import ConditionalDiscriminator, Discriminator
from vtoon.models.vtoonify import VToonify, VToonifyConfig

ADAM, AVERAGED = 4, 1  # weight, gradient, two moments; and the moving average
TEACHER = 6.0  # of a generator's largest feature, which are there at once while it draws
PERCEPTUAL = 4000  # bytes for each pixel that LPIPS sees: VGG16's features and distances; the stand-in takes 20 MB
CROP = (7 / 8) ** 2  # of the picture, drawn a second time
SPARE = 0.9  # of what is free is made use of


@dataclass(frozen=True)
class Need:
    """Bytes of a step: whatever the batch, and for each picture."""

    fixed: int
    picture: int

    def of(self, batch: int) -> int:
        return self.fixed + batch * self.picture

    def parts(self, batch: int, free: int) -> int:
        """In how many parts a batch has to be gone through to fit. Raises VtoonError where one picture does not."""
        for parts in (n for n in range(1, batch + 1) if batch % n == 0):
            if self.of(batch // parts) <= SPARE * free:
                return parts
        raise VtoonError(
            f"a step of one picture needs about {shown(self.of(1))}, {shown(free)} are free: try --grad_checkpoint, "
            "--amp bf16, a generator of a smaller --size, or --limit_memory with more if you know better"
        )


def shown(size: float) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**29 else f"{size / 2**20:.0f} MB"


def need(config: VToonifyConfig, num_styles: int, pretrain: bool, half: bool, checkpointing: bool, lpips: bool) -> Need:
    """`half`: features in 16 bits. `checkpointing`: a part's features are made again in the backward pass."""
    with torch.device("meta"):
        net = VToonify(config).requires_grad_(False)
        disc = (
            ConditionalDiscriminator(config.in_size, num_styles, config.channels)
            if num_styles
            else Discriminator(config.in_size, config.channels)
        )
    trained = net.encoder if pretrain else net.trained
    trained.requires_grad_(True)
    adam = _bytes(trained.parameters()) + (0 if pretrain else _bytes(disc.parameters()))
    frozen = 2 * _bytes(net.synthesis.parameters())  # the student's, and the teacher's two share most of theirs
    x = torch.empty(1, config.in_channels, config.in_size, config.in_size, device="meta")
    style = torch.empty(1, config.num_latents, config.style_dim, device="meta")
    drawn = _Drawn(net, checkpointing)
    if pretrain:
        kept = drawn.kept(lambda: net.encode(x, style, x.new_empty(1, 1))[0])
    else:
        kept = int((1 + CROP) * drawn.kept(lambda: net(x, style)))
        fake = torch.empty(1, 3, config.in_size, config.in_size, device="meta", requires_grad=True)
        condition = (x.new_empty(1, 1), torch.zeros(1, dtype=torch.long, device="meta")) if num_styles else ()
        kept += 2 * kept_bytes(lambda: disc(fake, *condition), disc)
        kept += lpips * PERCEPTUAL * (config.out_size // 2) ** 2
    widest = max(c * min(r, config.out_size) ** 2 for r, c in config.channels.items() if r <= config.out_size)
    kept += int(TEACHER * 4 * widest)
    return Need((ADAM + AVERAGED) * adam + frozen, kept // 2 if half else kept)


class _Drawn:
    """Counts what drawing keeps; where parts are checkpointed, their inputs and the largest part's features."""

    def __init__(self, net: VToonify, checkpointing: bool) -> None:
        self.net, self.checkpointing = net, checkpointing

    def kept(self, work: Callable[[], Tensor]) -> int:
        if not self.checkpointing:
            return kept_bytes(work, self.net)
        inputs, largest = 0, 0

        def run(part: Callable[..., tuple[Tensor, ...]], *args: object) -> tuple[Tensor, ...]:
            nonlocal inputs, largest
            result: list[tuple[Tensor, ...]] = []
            inputs += sum(t.untyped_storage().nbytes() for t in args if isinstance(t, Tensor))
            largest = max(largest, kept_bytes(lambda: result.append(part(*args)), self.net))
            return result[0]

        self.net._run = run
        work()
        del self.net._run
        return inputs + largest


def kept_bytes(work: Callable[[], object], net: nn.Module) -> int:
    """Of what autograd keeps for the backward pass of `work`, each tensor once, weights of `net` not."""
    kept: dict[int, Tensor] = {}  # holding them keeps their addresses theirs

    def pack(x: Tensor) -> Tensor:
        kept[x.untyped_storage()._cdata] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        work()
    own = {p.untyped_storage()._cdata for p in (*net.parameters(), *net.buffers())}
    return sum(x.untyped_storage().nbytes() for address, x in kept.items() if address not in own)


def _bytes(parameters: Iterable[Tensor]) -> int:
    return sum(p.numel() * 4 for p in parameters)
