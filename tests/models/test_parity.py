"""The networks give the published implementations' numbers when filled with the same weights.

`tests/data/parity` holds, for each row below, the published keys and shapes (.json) and what came out (.npz).
"""

import numpy as np
import pytest
import torch
from parity import DATA, TOLERANCE, difference, filled, given, published, published_keys

from vtoon.models.discriminator import ConditionalDiscriminator, Discriminator
from vtoon.models.dualstylegan import DualStyleGAN
from vtoon.models.face_parsing import BiSeNet
from vtoon.models.style_encoder import StyleEncoder
from vtoon.models.stylegan2 import Generator, truncate
from vtoon.models.vtoonify import VToonify, VToonifyConfig
from vtoon.ops import fir_kernel
from vtoon.weights.stylegan2_ada import convert_generator


def generator(net, _):
    w, w1, w2 = (net.style(given(name, [2, 512])) for name in ("za", "z1a", "z2a"))
    latent = truncate(net.to_w_plus(w), given("meana", [1, 512], 0.2), 0.7)
    return {
        "w": w,
        "image": net(net.to_w_plus(w)),
        "latent_trunc07": latent,
        "image_trunc07": net(latent),
        "image_mix4": net(net.to_w_plus(w1, w2, inject_index=4)),
    }


def discriminator(net, _):
    return {"score": net(given("imga", [4, 3, 256, 256], 0.5))}


def conditional_discriminator(net, _):
    degree, style = torch.full((2, 1), 0.4), torch.tensor([3, 299])
    return {"score": net(given("dimga", [2, 3, 256, 256], 0.5), degree, style)}


def dualstylegan(net, expected):
    face = net.generator.zplus2wplus(given("instylea", [1, 14, 512]))
    drawing = given("exstylea", [1, 14, 512])  # any rows will do; the published call does not map these
    weights = torch.from_numpy(expected["weights"][:14]).float()
    feature, skip = next((x, rgb) for x, rgb in net.grow(face, drawing, weights) if x.shape[2] == 32)
    return {"image": net(face, drawing, weights), "feat": feature, "skip": skip}


def vtoonify(net, expected):
    x, style = given("xa", [1, 22, 64, 64], 0.5), given("stylea", [1, net.config.num_latents, 512])
    degree = torch.full((1, 1), float(expected.get("d_s", 0)))
    feature, skip, _ = net.encode(x, style, degree)
    image, masks = net(x, style, degree, return_masks=True)
    masks = {"mask0": masks[0], "mask_last": masks[-1]} if masks else {}
    return {"image": image, "feat": feature, "skip": skip, "wplus": net.zplus2wplus(style)} | masks


def parsing(net, _):
    return {"logits": net(given("facea", [1, 3, 128, 160], 0.5))}


def style_encoder(net, _):
    return {"wplus": net(given("pfacea", [1, 3, 256, 256], 0.5))}


def small(backbone):
    return VToonify(VToonifyConfig(backbone=backbone, in_size=64, out_size=256))


ROWS = {
    "stylegan2_generator_64": (lambda: Generator(64), generator),
    "stylegan2_generator_256": (lambda: Generator(256), generator),
    "stylegan2_discriminator_256": (lambda: Discriminator(256), discriminator),
    "dualstylegan_256": (lambda: DualStyleGAN(256), dualstylegan),
    "vtoonify_d": (lambda: VToonify(VToonifyConfig()), vtoonify),
    "vtoonify_t": (lambda: VToonify(VToonifyConfig(backbone="toonify")), vtoonify),
    "vtoonify_d_64_256": (lambda: small("dualstylegan"), vtoonify),
    "vtoonify_t_64_256": (lambda: small("toonify"), vtoonify),
    "vtoonify_discriminator": (lambda: ConditionalDiscriminator(256, num_styles=317), conditional_discriminator),
    "bisenet": (BiSeNet, parsing),
    "psp_encoder": (StyleEncoder, style_encoder),
}
FAST = {"stylegan2_generator_64", "dualstylegan_256", "vtoonify_discriminator", "bisenet"}  # seconds on one core


def differences(name, net, run):
    """Of every output of a row."""
    expected = dict(np.load(DATA / f"{name}.npz"))
    results = run(net, expected)
    assert results.keys() == expected.keys() - {"d_s", "weights"}
    return {key: difference(result, expected[key]) for key, result in results.items()}


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in ROWS])
def test_network(name):
    build, run = ROWS[name]
    found = differences(name, filled(build(), name), run)
    assert max(found.values()) < TOLERANCE, found


def converted_ada():
    """The generator of StyleGAN2-ADA as ours, and the mean of its latents."""
    name = "stylegan2_ada_generator_64"
    fixed = {k: fir_kernel() for k in published_keys(name)}
    info, state = convert_generator(fixed | published(name))
    net = info.build()
    net.load_state_dict(state, strict=True)
    return net.eval().requires_grad_(False), info.mean_latent


def test_converted_ada_generator():
    net, mean = converted_ada()

    def run(net, _):
        latent = truncate(net.to_w_plus(net.style(given("za", [2, 512]))), mean, 0.7)
        return {"w_trunc07": latent, "image_const_noise": net(latent)[:, :, ::2, ::2]}

    found = differences("stylegan2_ada_generator_64", net, run)
    assert max(found.values()) < TOLERANCE, found
