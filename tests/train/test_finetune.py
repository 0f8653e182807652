"""Generators taught: what is frozen stays, what is stopped goes on, what is kept is kept, files are as published."""

import copy
import json

import numpy as np
import pytest
import torch

from vtoon.errors import VtoonError
from vtoon.models.discriminator import Discriminator
from vtoon.models.face_embedding import CHIP_MEAN
from vtoon.models.stylegan2 import Generator
from vtoon.train import faces as faces_module
from vtoon.train import freeze
from vtoon.train.dataset import Dataset
from vtoon.train.faces import EYES_APART, EYES_HIGH, TripletTerm, aligned_matrix
from vtoon.train.lessons import FinetuneOptions
from vtoon.train.recipes.finetune import StyleGANFinetune
from vtoon.train.trainer import TrainOptions, fit, parts_of
from vtoon.weights.generators import load_generator
from vtoon.weights.snapshots import load_start

pytestmark = pytest.mark.usefixtures("one_thread")
CHANNELS = {4: 8, 8: 8, 16: 6}
SIZE, DIM = 16, 12
EVERYTHING = {"path_weight": 2.0, "ada_p": 0.5, "augpipe": "bgcfnc", "mirror": True, "ema_rampup": 0.05}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set.npy"
    np.save(path, np.random.default_rng(0).integers(0, 255, (10, SIZE, SIZE, 3), dtype=np.uint8))
    return path


def nets(seed=0):
    torch.manual_seed(seed)
    return Generator(SIZE, DIM, 2, CHANNELS), Discriminator(SIZE, CHANNELS)


def recipe(packed, start=None, **options):
    net, disc = (start.net, start.disc) if start else nets()
    made = FinetuneOptions(**{"batch": 4, "augpipe": ""} | options)
    return StyleGANFinetune(net, disc, Dataset(packed, SIZE), made, start.average if start else None)


def trained(r, folder, steps, **options):
    return fit(r, TrainOptions(folder, steps, log_every=steps, images=r.options.images, **options))


def numbers(r):
    parts = [p.flatten() for net in (r.net, r.disc, r.ema.module) for p in net.parameters()]
    return torch.cat([*parts, torch.tensor([r.ada.p]), r.path_mean.value[None]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stopped_run_equals_an_unbroken_one_from_its_state_and_from_its_snapshot(packed, tmp_path, dtype):
    options = EVERYTHING | {"dtype": dtype}
    whole, first = (recipe(packed, **options) for _ in range(2))
    trained(whole, tmp_path / "whole", 9)
    trained(first, tmp_path / "parts", 5)
    start = load_start(tmp_path / "parts" / "network-snapshot-000000.pt")
    second, third = recipe(packed, start, **options), recipe(packed, **options)
    assert second.go_on(start) == 5
    trained(second, tmp_path / "elsewhere", 9, start=5)
    assert trained(third, tmp_path / "parts", 9) == 9
    assert torch.equal(numbers(second), numbers(whole)) and torch.equal(numbers(third), numbers(whole))


def test_a_snapshot_of_another_training_gives_its_networks_alone(packed, tmp_path):
    first = recipe(packed)
    trained(first, tmp_path, 2)
    start = load_start(tmp_path / "network-snapshot-000000.pt")
    other = recipe(packed, start, gamma=3.0)
    assert other.go_on(start) == 0
    assert torch.equal(numbers(other)[:-2], numbers(first)[:-2])  # all but p and the mean path length


def test_snapshots_are_as_published(packed, tmp_path):
    r = recipe(packed, ada_p=0.25, augpipe="blit", ada_target=None)
    trained(r, tmp_path, 250, start=239)
    content = torch.load(tmp_path / "network-snapshot-000001.pt", weights_only=True)
    assert {"g", "d", "g_ema", "g_optim", "d_optim", "ada_aug_p", "latent_avg"} <= content.keys()
    assert content["ada_aug_p"] == 0.25 and len(content["g_optim"]["state"]) == len(list(r.net.parameters()))
    assert set(content["d"]) == set(Discriminator(SIZE, CHANNELS).state_dict())
    loaded = load_generator(tmp_path / "network-snapshot-000001.pt")
    w_plus = r.ema.module.to_w_plus(torch.randn(1, DIM))
    assert torch.equal(loaded.generator(w_plus), r.ema.module(w_plus)) and loaded.mean_latent.shape == (DIM,)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["kimg"] == 1.0 and lines[-1]["p"] == 0.25 and "D_r1/r1" in lines[-1]


def test_the_clock_ends_a_run_and_a_full_disk_is_one_line(packed, tmp_path, monkeypatch):
    assert trained(recipe(packed), tmp_path, 1000, minutes=0.0) == 0
    before = (tmp_path / "network-snapshot-000000.pt").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(VtoonError, match=r"cannot be written \(.*No space left on device"):
        recipe(packed).export(tmp_path, 0)
    assert [p.name for p in tmp_path.glob("*part*")] == []
    assert (tmp_path / "network-snapshot-000000.pt").read_bytes() == before


def test_it_learns_what_its_pictures_look_like(tmp_path):
    """Pictures of one orange; the generator begins with grey."""
    colour = np.array([250, 120, 10], np.uint8)
    np.save(tmp_path / "orange.npy", np.broadcast_to(colour, (8, SIZE, SIZE, 3)))
    r = recipe(tmp_path / "orange.npy", lr=2e-2, batch=8, gamma=1.0, ema_kimg=0.05)
    wanted = torch.tensor(colour.astype(np.float32)) / 127.5 - 1
    net = r.ema.module

    def off():
        drawn = net(net.to_w_plus(net.style(torch.randn(16, DIM, generator=torch.Generator().manual_seed(1)))))
        return float((drawn.mean((0, 2, 3)) - wanted).abs().mean())

    before = off()
    trained(r, tmp_path / "run", 60)
    assert off() < 0.4 * before


def test_p_rises_when_the_discriminator_learns_its_pictures_by_heart(packed, tmp_path):
    r = recipe(packed, augpipe="color", ada_kimg=1, lr=1e-2)
    r.phases = [p for p in r.phases if p.name == "D"]  # nobody answers it
    trained(r, tmp_path, 40)
    assert r.ada.p > 0.02


def test_a_discriminator_that_is_too_sure_is_warned_of_once(packed, caplog):
    r = recipe(packed)
    for step in range(12):
        r.ada.see(torch.ones(4, 1))
        r.end_step(step)
    assert caplog.text.count("by heart (r_t 1.00") == 1 and "--gamma" in caplog.text


def test_parts_of_a_batch_give_the_gradient_of_the_whole(packed):
    found = []
    for parts in (1, 2):
        r = recipe(packed, batch=8, ada_p=0.7, augpipe="bgcfnc", path_weight=0.0)
        batch = r.next_batch(0)
        for phase in (r.phases[0], r.phases[1], r.phases[2]):
            for p in phase.parameters:
                p.requires_grad_(True)
            for part in parts_of(batch, parts):
                (sum(phase.loss(part).values()) / parts).backward()
            found.append(torch.cat([p.grad.flatten() for p in phase.parameters if p.grad is not None]))
            for p in phase.parameters:
                p.grad = None
                p.requires_grad_(False)
    for whole, sum_of_parts in zip(found[:3], found[3:], strict=True):
        torch.testing.assert_close(whole, sum_of_parts, rtol=2e-3, atol=2e-5)


def test_penalties_are_the_same_in_half_precision(packed):
    terms = []
    for dtype in (torch.float32, torch.bfloat16):
        r = recipe(packed, dtype=dtype, path_weight=2.0)
        r.disc.requires_grad_(True)
        r.net.requires_grad_(True)
        batch = r.next_batch(0)
        terms.append([float(r.r1_terms(batch)["r1"].detach()), float(r.path_terms(batch)["path"].detach())])
        assert abs(float(r.discriminator_terms(batch)["loss"].detach()) - 1.4) < 0.4
    assert terms[0] == pytest.approx(terms[1], rel=1e-4)


# What is kept


def names_of(parameters):
    return set(parameters)


def test_frozen_parts_stay_bit_equal_and_all_others_move(packed, tmp_path):
    r = recipe(packed, freeze_g=2, freeze_d=4, freeze_style=2, structure_loss=1, ada_p=0.2, augpipe="bgc")
    before = {name: copy.deepcopy(net.state_dict()) for name, net in (("g", r.net), ("d", r.disc))}
    trained(r, tmp_path, 3)
    for name, net, taught in (("g", r.net, r.taught_g), ("d", r.disc, r.taught_d)):
        moved = {k for k, p in net.named_parameters() if not torch.equal(p, before[name][k])}
        assert moved == names_of(taught)
    assert not any(k.startswith(("style.", "input.", "conv1.", "to_rgb1.", "convs.0.", "convs.1.")) for k in r.taught_g)
    assert {k.rsplit(".", 2)[0] for k in r.disc.state_dict()} - {k.rsplit(".", 2)[0] for k in r.taught_d} >= {"convs.0"}


def test_published_counts_name_the_published_parameters():
    """Cartoon-StyleGAN's --freezeG 4 --freezeD 4 at 256 px, StyleGAN2-ADA's --freezed 10."""
    narrow = {2**k: 2 for k in range(2, 9)}
    net, disc = Generator(256, 4, 1, narrow), Discriminator(256, narrow)
    blocks = freeze.taught(net, freeze.frozen_of_generator(net, freeze.blocks_left(net, 4)))
    parts = {".".join(name.split(".")[:2]) for name in blocks}
    assert parts == {f"convs.{i}" for i in range(4, 12)} | {f"to_rgbs.{i}" for i in range(2, 6)}
    layers = freeze.taught(disc, freeze.frozen_of_discriminator(disc, freeze.layers_left(disc, 4)))
    assert {".".join(n.split(".")[:2]) for n in layers if n.startswith("convs")} == {f"convs.{i}" for i in range(3, 7)}
    assert {n.split(".")[0] for n in layers} == {"convs", "final_conv", "final_linear"}
    ten = set(disc.state_dict()) - set(freeze.taught(disc, freeze.frozen_of_discriminator(disc, 10)))
    assert {".".join(n.split(".")[:2]) for n in ten if not n.endswith("kernel")} == {f"convs.{i}" for i in range(4)}
    mapping = freeze.taught(net, freeze.frozen_of_generator(net, 0, mapping=True))
    assert set(net.state_dict()) - set(mapping) >= {"style.1.weight"} and "conv1.conv.weight" in mapping
    for call in (lambda: freeze.frozen_of_generator(net, 7), lambda: freeze.frozen_of_discriminator(disc, 20),
                 lambda: freeze.blocks_left(net, 0), lambda: freeze.layers_left(disc, 7)):  # fmt: skip
        with pytest.raises(VtoonError, match="freeze"):
            call()


def test_frozen_rows_are_of_the_resumed_models_mapping(packed):
    r = recipe(packed, freeze_style=3, mixing=0.0)
    for p in r.net.style.parameters():
        p.data += 0.5 * torch.randn_like(p)
    latents = r.next_batch(0).fake
    rows = r.rows_of(latents)
    assert torch.equal(rows[:, 0], r.source.style(latents.z)) and torch.equal(rows[:, 2], rows[:, 0])
    assert torch.equal(rows[:, 3], r.net.style(latents.z)) and not torch.allclose(rows[:, 3], rows[:, 2])


def test_mixing_takes_the_second_latent_from_a_row_on(packed):
    r = recipe(packed, mixing=1.0, batch=16)
    latents = r.next_batch(0).fake
    rows, one, two = r.rows_of(latents), r.net.style(latents.z), r.net.style(latents.other)
    for i, cross in enumerate(latents.cross[:, 0].tolist()):
        assert 1 <= cross < r.net.num_latents
        assert torch.equal(rows[i, cross - 1], one[i]) and torch.equal(rows[i, cross], two[i])


def test_the_structure_term_holds_the_low_resolutions(packed, tmp_path):
    """It is zero at the start and falls for a model that was moved away."""
    r = recipe(packed, structure_loss=2, structure_weight=30.0, lr=1e-2)
    batch = r.next_batch(0)
    assert float(r.generator_terms(batch)["structure"].detach()) == 0
    for p in r.net.convs.parameters():
        p.data += 0.3 * torch.randn_like(p)
    before = float(r.generator_terms(batch)["structure"].detach())
    trained(r, tmp_path, 40)
    assert before > 0.1 and float(r.generator_terms(batch)["structure"].detach()) < 0.3 * before


def test_previews_show_the_source_beside_what_is_taught(packed):
    alone, both = recipe(packed).preview(), recipe(packed, structure_loss=1).preview()
    assert alone.shape == both.shape == (4 * SIZE + 12, 8 * SIZE + 28, 3)
    assert (both[:SIZE] == both[SIZE + 4 : 2 * SIZE + 4]).all() and (both[:SIZE] == alone[:SIZE]).all()


class MeanColours:
    """In place of face embeddings."""

    def __init__(self, *_):
        pass

    def __call__(self, images):
        return images.mean((2, 3)) + 0.1


def test_the_triplet_term_pulls_toward_the_positive(packed, monkeypatch, tmp_path):
    monkeypatch.setattr(faces_module, "AlignedFaces", MeanColours)
    positive, negative = (nets(seed)[0] for seed in (1, 2))
    net, disc = nets()
    term = TripletTerm(positive, negative, 2.0, net, torch.device("cpu"))
    options = FinetuneOptions(batch=8, augpipe="", lr=1e-2)
    r = StyleGANFinetune(net, disc, Dataset(packed, SIZE), options, extra={"triplet": term})
    z = torch.randn(32, DIM)

    def value():
        return float(term(net(net.to_w_plus(net.style(z))), z).detach())

    before = value()
    r.phases = [p for p in r.phases if p.name == "G"]
    trained(r, tmp_path, 30)
    assert value() < before
    with pytest.raises(VtoonError, match="z of 8 numbers, not 12"):
        TripletTerm(Generator(8, 8, 1, CHANNELS), negative, 1.0, net, torch.device("cpu"))


def test_eyes_of_aligned_pictures_come_where_the_embedding_looks():
    for size in (64, 256):
        matrix = aligned_matrix(size)[0]
        for side, corners in ((1, CHIP_MEAN[:2]), (-1, CHIP_MEAN[2:4])):
            eye = torch.tensor([(0.5 + side * EYES_APART / 2) * size, EYES_HIGH * size, 1.0])
            wanted = (torch.tensor(corners).mean(0) + 0.25) / 1.5 * 150
            assert (matrix @ eye - wanted).abs().max() < 0.2


# What a training starts from


def test_a_published_file_with_and_without_its_other_parts(packed, tmp_path):
    net, disc = nets()
    average = nets(1)[0].state_dict()
    torch.save({"g_ema": average}, tmp_path / "average.pt")
    start = load_start(tmp_path / "average.pt")
    assert start.disc is None and torch.equal(start.net.input.input, average["input.input"]) and start.step == 0
    optims = [torch.optim.Adam(part.parameters()) for part in (net, disc)]
    for part, optim in zip((net, disc), optims, strict=True):
        sum(p.sum() for p in part.parameters()).backward()
        optim.step()
    whole = {"g": net.state_dict(), "d": disc.state_dict(), "g_ema": average, "ada_aug_p": 0.3}
    whole |= {name: optim.state_dict() for name, optim in zip(("g_optim", "d_optim"), optims, strict=True)}
    torch.save(whole, tmp_path / "whole.pt")
    start = load_start(tmp_path / "whole.pt")
    assert torch.equal(start.net.input.input, net.input.input) and start.disc is not None
    r = recipe(packed, start, augpipe="blit")
    assert r.go_on(start) == 0
    r.take_optimizers(start)
    assert r.state["g_optim"].state_dict()["state"][0]["step"] == 1 and r.ada.p == 0.3
    assert r.state["g_optim"].param_groups[0]["betas"][0] == 0  # the moments of a file, the rates of this training
    frozen = recipe(packed, start, freeze_g=1)
    frozen.take_optimizers(start)  # of other parameters: none
    assert not frozen.state["g_optim"].state_dict()["state"]


def test_a_name_is_looked_up_and_said_where_to_get(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VtoonError, match=r"checkpoint/ffhq256.pkl: no such file"):
        load_start("ffhq256")


def test_a_layout_is_only_a_layout(packed):
    """Losses and drawings are those of the usual one."""
    found = []
    for laid in (False, True):
        r = recipe(packed, channels_last=laid, structure_loss=1, ada_p=0.5, augpipe="bgcfnc", path_weight=2.0)
        r.net.requires_grad_(True)
        batch = r.next_batch(0)
        terms = r.discriminator_terms(batch) | {"g": r.generator_terms(batch)["loss"]} | r.path_terms(batch)
        found.append([float(value.detach()) for value in (*terms.values(), r.ema.module(r.rows_of(batch.fake)).sum())])
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_a_new_discriminator_learns_alone_at_first(packed, tmp_path):
    made = recipe(packed, d_alone=3, path_weight=2.0)
    before = copy.deepcopy(made.net.state_dict())
    judge = copy.deepcopy(made.disc.state_dict())
    trained(made, tmp_path, 3)
    assert all(torch.equal(value, before[name]) for name, value in made.net.state_dict().items())
    assert not all(torch.equal(value, judge[name]) for name, value in made.disc.state_dict().items())
    trained(recipe(packed, d_alone=3, path_weight=2.0), tmp_path, 5)
    again = recipe(packed, d_alone=3, path_weight=2.0)
    trained(again, tmp_path / "whole", 5)
    assert not all(torch.equal(value, before[name]) for name, value in again.net.state_dict().items())
    assert "d_alone" in again.about and "d_alone" not in recipe(packed).about
