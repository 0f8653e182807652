"""Generators of StyleGAN2-ADA for PyTorch (Karras et al. 2020, "Training GANs with limited data") as our own.

Both keep weights at unit variance, scale them when used and run the same layers in the same order, so a table of names
is the conversion. Three things differ. A filter there sums to 1, here to the gain of its doubling. The convolutions
there are not scaled before demodulation, which cancels any scale. The mean latent is there part of the weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vtoon.errors import VtoonError
from vtoon.models.stylegan2 import Generator
from vtoon.weights.published import Kind, load
from vtoon.weights.sizes import GeneratorSizes

MEAN_WEIGHTS = "G_ema."  # before the names of the averaged generator
UPSAMPLE_GAIN = 4.0  # zero insertion leaves one sample in four
LINEAR = {"weight": "weight", "bias": "bias"}  # ours -> theirs, within a layer
MODULATED = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
}
CONV = MODULATED | {"noise.weight": "noise_strength", "activate.bias": "bias"}
TO_RGB = MODULATED | {"bias": "bias"}
UNUSED = re.compile(r"mapping\.w_avg|synthesis\.b4\.resample_filter|synthesis\.b\d+\.conv1\.resample_filter")


@dataclass(frozen=True)
class GeneratorInfo(GeneratorSizes):
    """What the shapes of a file say about its generator, and the mean of its latents."""

    mean_latent: Tensor  # [style_dim], for truncation

    def build(self) -> Generator:
        """The generator, with random weights."""
        return Generator(self.size, self.style_dim, self.mapping_layers, self.channels)


def convert_generator(state: Mapping[str, Tensor]) -> tuple[GeneratorInfo, dict[str, Tensor]]:
    """State dict of an ADA generator -> its description and our state dict, for `info.build().load_state_dict`.

    Raises VtoonError where the file holds anything but an unconditional generator with skip connections.
    """
    info = _describe(state)
    table = key_table(info.size, info.mapping_layers)
    missing = sorted(set(table.values()) - state.keys())
    unknown = sorted(key for key in state.keys() - table.values() if not UNUSED.fullmatch(key))
    if missing or unknown:
        raise VtoonError(f"StyleGAN2-ADA generator: {_some('missing', missing)}{_some('not known', unknown)}")
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in info.build().state_dict().items()}
    return info, {ours: _fitted(state[theirs], shapes[ours], theirs) for ours, theirs in table.items()}


def read_generator(source: Path, which: str = MEAN_WEIGHTS) -> tuple[GeneratorInfo, dict[str, Tensor]]:
    """A generator of a network pickle (G_ema; "G." is the one without averaging): its description and our state dict.
    Nothing in it is run.

    Raises VtoonError where the pickle is damaged or holds no such generator.
    """
    state = load(source, Kind.NETWORKS).tensors
    own = {name.removeprefix(which): tensor for name, tensor in state.items() if name.startswith(which)}
    if not own:
        raise VtoonError(f"{source}: holds no G_ema, the generator that draws; use a network-snapshot with all three")
    return convert_generator(own)


def read_discriminator(source: Path) -> dict[str, Tensor] | None:
    """Our state dict of a network pickle's D; None where it has none of the usual kind (residual, unconditional)."""
    start = "D."
    state = {k.removeprefix(start): v for k, v in load(source, Kind.NETWORKS).tensors.items() if k.startswith(start)}
    return convert_discriminator(state)


def convert_discriminator(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """State dict of an ADA discriminator -> ours; None where it is none of the usual kind. Its filters and layers are
    the same as ours, in the same order, so that a table of names is the conversion."""
    blocks = (re.fullmatch(r"b(\d+)\.conv1\.weight", key) for key in state)
    size = max((int(match[1]) for match in blocks if match), default=0)
    table = discriminator_table(size) if size > 4 and size & (size - 1) == 0 else {}
    unknown = [key for key in state.keys() - set(table.values()) if not key.endswith("resample_filter")]
    if not table or set(table.values()) - state.keys() or unknown:
        return None
    return {ours: state[theirs].float() for ours, theirs in table.items()}


def discriminator_table(size: int) -> dict[str, str]:
    """Our names -> theirs, for a discriminator of `size` px."""
    names = {"convs.0.0.weight": "fromrgb.weight", "convs.0.1.bias": "fromrgb.bias"}
    table = {ours: f"b{size}.{theirs}" for ours, theirs in names.items()}
    for k in range(1, int(math.log2(size)) - 1):
        block = f"b{2 * size >> k}"
        names = {"conv1.0.weight": "conv0.weight", "conv1.1.bias": "conv0.bias"}
        names |= {"conv2.0.kernel": "conv1.resample_filter", "conv2.1.weight": "conv1.weight"}
        names |= {"conv2.2.bias": "conv1.bias", "skip.0.kernel": "skip.resample_filter", "skip.1.weight": "skip.weight"}
        table |= {f"convs.{k}.{ours}": f"{block}.{theirs}" for ours, theirs in names.items()}
    ends = {"final_conv.0.weight": "conv.weight", "final_conv.1.bias": "conv.bias"}
    for i, layer in enumerate(("fc", "out")):
        ends |= {f"final_linear.{i}.{part}": f"{layer}.{part}" for part in ("weight", "bias")}
    return table | {ours: f"b4.{theirs}" for ours, theirs in ends.items()}


def write_generator(source: Path, target: Path) -> GeneratorInfo:
    """Rewrite the generator of a network pickle as a .pt that PyTorch's StyleGAN2 tools read.

    The layout is rosinality's: {"g_ema": state dict, "latent_avg": [style_dim]}. Raises as `read_generator`, and
    OSError where the target cannot be written.
    """
    info, converted = read_generator(source)
    torch.save({"g_ema": converted, "latent_avg": info.mean_latent}, target)
    return info


def key_table(size: int, mapping_layers: int) -> dict[str, str]:
    """Our names -> theirs, for a generator of `size` px."""
    table = {"input.input": "synthesis.b4.const", "noises.noise_0": "synthesis.b4.conv1.noise_const"}
    table |= _layer("conv1", "synthesis.b4.conv1", CONV) | _layer("to_rgb1", "synthesis.b4.torgb", TO_RGB)
    for i in range(mapping_layers):
        table |= _layer(f"style.{i + 1}", f"mapping.fc{i}", LINEAR)
    for k in range(int(math.log2(size)) - 2):
        block = f"synthesis.b{2 ** (k + 3)}"
        for j in (0, 1):
            table |= _layer(f"convs.{2 * k + j}", f"{block}.conv{j}", CONV)
            table[f"noises.noise_{2 * k + j + 1}"] = f"{block}.conv{j}.noise_const"
        table |= _layer(f"to_rgbs.{k}", f"{block}.torgb", TO_RGB)
        table[f"convs.{2 * k}.conv.blur.kernel"] = f"{block}.conv0.resample_filter"
        table[f"to_rgbs.{k}.upsample.kernel"] = f"{block}.resample_filter"
    return table


def _layer(ours: str, theirs: str, names: Mapping[str, str]) -> dict[str, str]:
    return {f"{ours}.{a}": f"{theirs}.{b}" for a, b in names.items()}


def _describe(state: Mapping[str, Tensor]) -> GeneratorInfo:
    blocks = (re.fullmatch(r"synthesis\.b(\d+)\.conv1\.weight", key) for key in state)
    channels = {int(match[1]): state[match[0]].shape[0] for match in blocks if match and state[match[0]].ndim}
    mapping_layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", key)) for key in state)
    if not channels or "mapping.w_avg" not in state or state["mapping.w_avg"].ndim != 1:
        raise VtoonError("no StyleGAN2-ADA generator: keys like synthesis.b4.conv1.weight and mapping.w_avg expected")
    mean = state["mapping.w_avg"].float()
    return GeneratorInfo(max(channels), mean.shape[0], mapping_layers, dict(sorted(channels.items())), mean)


def _fitted(value: Tensor, shape: torch.Size, name: str) -> Tensor:
    """A tensor in our shape, which has axes of length 1 more or fewer."""
    if [n for n in value.shape if n > 1] != [n for n in shape if n > 1]:
        raise VtoonError(f"StyleGAN2-ADA generator: {name} is {list(value.shape)}, which does not fit {list(shape)}")
    gain = UPSAMPLE_GAIN if name.endswith("resample_filter") else 1.0
    return value.float().reshape(shape) * gain


def _some(what: str, keys: list[str]) -> str:
    return f"{len(keys)} keys are {what} ({', '.join(keys[:3])}) " if keys else ""
