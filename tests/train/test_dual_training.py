"""DualStyleGAN taught: g stays, the extrinsic path learns, runs go on bit for bit, files are as published."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vtoon.errors import VtoonError
from vtoon.image import save_image
from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator
from vtoon.train.dataset import Dataset
from vtoon.train.recipes.dual import DualOptions
from vtoon.train.recipes.dual_finetune import Artworks, DualFinetune, DualWeights, artworks_of
from vtoon.train.recipes.dual_pretrain import DualPretrain
from vtoon.train.trainer import TrainOptions, fit, run_phase
from vtoon.weights.duals import grown, load_dual_start, save_style_codes
from vtoon.weights.generators import load_dual, save_generator
from vtoon.weights.published import load_style_codes
from vtoon.weights.vgg19 import Sight

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE, DIM, ROWS, ART = 32, 12, 8, 6
CHANNELS = dict.fromkeys((4, 8, 16, 32), 6)
SIGHT = Sight("pixels", lambda x: [x, F.avg_pool2d(x, 2), F.avg_pool2d(x, 4)])
KINDS = ("pretrain", "finetune")


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set.npy"
    np.save(path, np.random.default_rng(0).integers(0, 255, (ART, SIZE, SIZE, 3), dtype=np.uint8))
    return path


def recipe(kind, packed, start=None, most=None, **options):
    torch.manual_seed(0)
    net = start.net if start else grown(Generator(SIZE, DIM, 2, CHANNELS), packed)
    disc = start.disc if start else Discriminator(SIZE, CHANNELS)
    made = DualOptions(**{"batch": 2, "d_every": 2, "g_every": 2, "subspace_every": 2} | options)
    common = net, disc, Dataset(packed, SIZE, most=most), made, start.average if start else None
    if kind == "pretrain":
        return DualPretrain(*common, sight=SIGHT, encode=None, steps=9, inject=(7, 5))
    art = Artworks(*torch.randn(2, ART, ROWS, DIM, generator=torch.Generator().manual_seed(1)))
    embed = lambda x: F.avg_pool2d(x, 8).flatten(1)  # noqa: E731
    return DualFinetune(*common, art=art, weights=DualWeights(), sight=SIGHT, embed=embed)


def trained(r, folder, steps, **options):
    return fit(r, TrainOptions(folder, steps, log_every=steps, preview_every=100, **options))


def numbers(r):
    parts = [r.averaged.state_dict(), r.net.state_dict(), r.disc.state_dict()]
    return torch.cat([p.flatten() for part in parts for p in part.values()] + [torch.tensor([r.ada.p])])


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_equals_an_unbroken_one_from_its_state_and_from_its_file(kind, packed, tmp_path):
    options = {"augment": True, "ada_every": 2, "ada_length": 100}
    whole, first = (recipe(kind, packed, **options) for _ in range(2))
    trained(whole, tmp_path / "whole", 5)
    trained(first, tmp_path / "parts", 2)
    start = load_dual_start(tmp_path / "parts" / "generator-000002.pt")
    second, third = recipe(kind, packed, start, **options), recipe(kind, packed, **options)
    assert second.go_on(start) == 2
    trained(second, tmp_path / "elsewhere", 5, start=2)
    assert trained(third, tmp_path / "parts", 5) == 5
    assert torch.equal(numbers(second), numbers(whole)) and torch.equal(numbers(third), numbers(whole))
    other = recipe(kind, packed, start, r1=3.0)
    assert other.go_on(start) == 0  # another training: its networks alone


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_inside_stays_and_all_that_is_taught_is_averaged(kind, packed, tmp_path):
    r = recipe(kind, packed, lr=0.02)
    before = {key: value.clone() for key, value in r.net.state_dict().items()}
    trained(r, tmp_path, 2)
    content = torch.load(tmp_path / "generator-000002.pt", weights_only=True)
    assert {"g", "d", "g_ema", "g_optim", "d_optim"} <= content.keys()
    assert content["g"].keys() == content["g_ema"].keys() == before.keys()
    for key, value in before.items():
        taught = key.startswith(("res.", "style."))
        assert torch.equal(content["g"][key], value) != taught, key
        assert torch.equal(content["g_ema"][key], value) != taught, key  # T_c, too
    drawn = load_dual(tmp_path / "generator-000002.pt")
    codes = torch.randn(2, 1, ROWS, DIM)
    assert drawn(*codes, torch.ones(ROWS)).shape == (1, 3, SIZE, SIZE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_that_is_read_as_it_goes_teaches_the_same(kind, packed, tmp_path):
    held, read = recipe(kind, packed), recipe(kind, packed, most=0)
    assert held.data.in_memory and not read.data.in_memory
    trained(held, tmp_path / "a", 2)
    trained(read, tmp_path / "b", 2)
    assert torch.equal(numbers(held), numbers(read))


def test_pretraining_learns_to_do_from_outside_what_the_rows_do_inside(packed):
    r = recipe("pretrain", packed, lr=0.02, path_weight=0.0, adversarial=0.0)
    fixed = r.next_batch(1000)

    def off():
        return float(r.added_terms(r.draw(fixed.intrinsic, fixed.extrinsic, fixed.noise), fixed)["perc"].detach())

    before = off()
    for step in range(30):
        run_phase(r.phases[2], r.next_batch(step))
    assert off() < 0.8 * before


def test_faces_are_the_artworks_own_and_random_ones_in_turn(packed):
    r = recipe("finetune", packed)
    random, own = r.next_batch(0), r.next_batch(1)
    assert random.meant is None and torch.equal(own.meant, own.real)
    assert torch.equal(random.intrinsic, random.intrinsic[:, :1].expand(-1, ROWS, -1))
    assert not torch.equal(own.intrinsic[:, 0], own.intrinsic[:, 1])
    terms = {step: set(r.generator_terms(r.next_batch(step))) for step in (0, 1)}
    assert terms[1] - terms[0] == {"perc"} and terms[0] == {"loss", "cx", "style", "l2", "id"}


def test_a_batch_in_parts_and_half_precision_run(packed, tmp_path):
    r = recipe("finetune", packed, dtype=torch.bfloat16, batch=4)
    assert trained(r, tmp_path, 1, accumulate=2) == 1 and numbers(r).isfinite().all()


def test_starts_and_codes_that_do_not_fit_are_one_line(packed, tmp_path):
    save_generator(tmp_path / "small.pt", Generator(16, DIM, 2, CHANNELS))
    save_generator(tmp_path / "uneven.pt", Generator(32, DIM, 2, CHANNELS | {32: 4}))
    for name in ("small.pt", "uneven.pt"):
        with pytest.raises(VtoonError, match="DualStyleGAN takes generators of 32 px or more, equally wide"):
            load_dual_start(tmp_path / name)
    codes = {f"set.npy[{i}]": torch.randn(1, ROWS, DIM) for i in range(ART)}
    save_style_codes(tmp_path / "codes.npy", codes)
    again = load_style_codes(tmp_path / "codes.npy")
    assert list(again) == list(codes) and all(torch.equal(again[name], codes[name]) for name in codes)
    data = Dataset(packed, SIZE)
    assert artworks_of(data, codes, again).extrinsic.shape == (ART, ROWS, DIM)
    with pytest.raises(VtoonError, match=r"instyle_code.npy has no code of set.npy\[1\] and 4 more"):
        artworks_of(data, codes, {"set.npy[0]": codes["set.npy[0]"]})


def test_no_other_picture_stands_in_for_a_damaged_artwork(tmp_path):
    for name in "abc":
        save_image(tmp_path / f"{name}.png", np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8))
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    data = Dataset(tmp_path, SIZE, most=0)
    assert data.names == ["a.png", "b.png", "c.png"] and data.picture(2).shape == (SIZE, SIZE, 3)
    with pytest.raises(VtoonError, match=r"b\.png"):
        data.picture(1)
