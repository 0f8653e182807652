"""What a training starts from, out of a StyleGAN2-ADA pickle: all three networks."""

import torch
from foreign import save_networks

from vtoon.models.discriminator import Discriminator
from vtoon.models.stylegan2 import Generator
from vtoon.weights.snapshots import load_start
from vtoon.weights.stylegan2_ada import convert_discriminator, discriminator_table, key_table

CHANNELS = {4: 8, 8: 8, 16: 6}
SIZE, DIM = 16, 12


def nets(seed=0):
    torch.manual_seed(seed)
    return Generator(SIZE, DIM, 2, CHANNELS), Discriminator(SIZE, CHANNELS)


def test_all_three_networks_of_a_pickle(tmp_path):
    net, disc = nets()
    average = nets(1)[0]
    table = key_table(SIZE, 2)

    def theirs(state):
        made = {table[k]: v.clone() for k, v in state.items() if k in table}
        made["mapping.w_avg"] = torch.zeros(DIM)
        made = {k: v / 4 if k.endswith("resample_filter") else v for k, v in made.items()}
        return {k: v if v.shape[0] > 1 or v.ndim < 3 else v[0] for k, v in made.items()}

    judge = {discriminator_table(SIZE)[k]: v for k, v in disc.state_dict().items()}
    states = {"G": theirs(net.state_dict()), "D": judge, "G_ema": theirs(average.state_dict())}
    save_networks(tmp_path / "n.pkl", states)
    start = load_start(tmp_path / "n.pkl")
    w_plus, image = net.to_w_plus(torch.randn(2, DIM)), torch.randn(4, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.allclose(start.net(w_plus), net(w_plus), atol=1e-5)
        assert torch.allclose(start.average(w_plus), average(w_plus), atol=1e-5)
        assert torch.equal(start.disc(image), disc(image))


def test_a_discriminator_of_another_kind_is_none():
    state = {discriminator_table(SIZE)[k]: v for k, v in nets()[1].state_dict().items()}
    assert convert_discriminator(state) is not None
    assert convert_discriminator({}) is None
    assert convert_discriminator({**state, "mapping.fc0.weight": torch.zeros(2, 2)}) is None  # with labels
    assert convert_discriminator({k: v for k, v in state.items() if k != "b8.skip.weight"}) is None
