"""What is worth saying about a published file, in one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vtoon.errors import VtoonError, describe
from vtoon.weights.published import Kind, PublishedFile
from vtoon.weights.safe_pickle import shown
from vtoon.weights.sizes import count, generator_sizes, specialty, vtoonify_config
from vtoon.weights.trained import read_trained

Facts = Iterator[tuple[str, str]]


def facts(file: PublishedFile) -> list[tuple[str, str]]:
    """(name, value) in the order to show them. Raises VtoonError where weights that every such file has are missing."""
    try:
        return list(FACTS[file.kind](file))
    except (KeyError, IndexError, ValueError) as error:
        raise VtoonError(f"{file.path}: damaged, weights are missing ({describe(error)}); get the file again") from None


def _vtoonify(file: PublishedFile) -> Facts:
    config = vtoonify_config(file.tensors)
    yield "backbone", config.backbone
    yield "drawing", f"{config.in_size} px to {config.out_size} px, {config.upscale} times the input"
    yield "input", f"{config.in_channels} channels"
    yield "style code", f"{config.num_latents} rows of {config.style_dim}"
    trained = read_trained(file.extras, (config.num_latents, config.style_dim), file.path)
    if trained.eye_distance:
        yield "eyes", f"{trained.eye_distance:g} px apart in what it saw"
    if trained.own_code is not None:
        yield "faces", "all by one style code, trained without a style encoder"
    special = specialty(file.path)
    if special and file.kind is Kind.VTOONIFY_D:
        yield "style", "any" if special.style_id is None else f"{special.style_id} only"
        yield "degree", "any" if special.style_degree is None else f"{special.style_degree} only"
        yield "colours", "of the style (--color_transfer)" if special.color_transfer else "of the face"
    yield from trained.provenance.items()


def _generator(file: PublishedFile) -> Facts:
    sizes = generator_sizes(file.tensors, "generator." if file.kind is Kind.DUALSTYLEGAN else "")
    yield "image", f"{sizes.size} px"
    yield "style code", f"{sizes.num_latents} rows of {sizes.style_dim}"
    yield "mapping", f"{sizes.mapping_layers} layers"
    yield "channels", ", ".join(f"{size} px: {n}" for size, n in sorted(sizes.channels.items()))


def _encoder(file: PublishedFile) -> Facts:
    yield "input", f"{16 << count(file.tensors, '{}.2.weight')} px, {file.tensors['0.0.weight'].shape[1]} channels"


def _style_encoder(file: PublishedFile) -> Facts:
    yield "style code", f"{count(file.tensors, 'styles.{}.linear.weight')} rows"
    yield "mean code", "in the file" if "latent_avg" in file.extras else "missing"


def _parsing(file: PublishedFile) -> Facts:
    yield "classes", str(file.tensors["conv_out.conv_out.weight"].shape[0])


def _nothing(_: PublishedFile) -> Facts:
    yield from ()


def _style_codes(file: PublishedFile) -> Facts:
    names = list(file.tensors)
    yield "styles", f"{len(names)}, ids 0 to {len(names) - 1}"
    yield "style code", "{} rows of {}".format(*file.tensors[names[0]].shape[1:])
    yield "first", ", ".join(shown(name, 40) for name in names[:3])


def _directions(file: PublishedFile) -> Facts:
    yield "directions", "{}, {} rows of {}".format(*file.tensors["directions"].shape)


def _networks(file: PublishedFile) -> Facts:
    yield "networks", ", ".join(file.extras)
    for name in ("img_resolution", "z_dim", "w_dim"):
        values = [settings.get(name) for settings in file.extras.values()]
        if numbers := [str(value) for value in values if isinstance(value, int)]:
            yield name.replace("_", " "), numbers[0]


FACTS: dict[Kind, Callable[[PublishedFile], Facts]] = {
    Kind.VTOONIFY_D: _vtoonify,
    Kind.VTOONIFY_T: _vtoonify,
    Kind.PRETRAIN: _encoder,
    Kind.DUALSTYLEGAN: _generator,
    Kind.STYLEGAN2: _generator,
    Kind.STYLE_ENCODER: _style_encoder,
    Kind.PARSING: _parsing,
    Kind.RAFT: _nothing,
    Kind.STYLE_CODES: _style_codes,
    Kind.DIRECTIONS: _directions,
    Kind.NETWORKS: _networks,
}
