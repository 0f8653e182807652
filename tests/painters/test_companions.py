"""The networks around a published VToonify: filled from their files exactly, or refused in one line."""

import pytest
import torch
from torch import nn

import vtoon.painters.companions
from vtoon.errors import VtoonError
from vtoon.models.face_parsing import BiSeNet
from vtoon.painters.companions import load_encoder, load_parser

ROWS, DIM = 3, 4


class TinyEncoder(nn.Module):
    """Stands in for the style encoder, whose backbone alone is 170 MB; keys named like its."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 2, 1))
        self.styles = nn.ModuleList(nn.ModuleDict({"linear": nn.Linear(2, DIM)}) for _ in range(rows))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.input_layer(x).mean((2, 3))
        return torch.stack([style["linear"](seen) for style in self.styles], 1)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Saves an encoder.pt with what is beside its weights; tells its path and network."""
    monkeypatch.setattr(vtoon.painters.companions, "StyleEncoder", TinyEncoder)
    torch.manual_seed(0)
    net = TinyEncoder(ROWS)

    def save(drop: str = "", **beside):
        state = {f"encoder.{key}": weight for key, weight in net.state_dict().items() if key != drop}
        torch.save({"state_dict": state | {"decoder.input.input": torch.ones(1)}} | beside, tmp_path / "encoder.pt")
        return tmp_path / "encoder.pt", net

    return save


@pytest.mark.parametrize("shape", [(ROWS, DIM), (1, DIM), (DIM,)])
def test_the_average_code_is_added(saved, shape):
    average = torch.randn(shape)
    path, net = saved(latent_avg=average, opts={"start_from_latent_avg": True})
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(load_encoder(path)(x), net(x) + average)


@pytest.mark.parametrize(("beside", "got"), [({}, "missing"), ({"latent_avg": torch.ones(5, DIM)}, r"\[5, 4\]")])
def test_an_average_code_that_does_not_fit(saved, beside, got):
    with pytest.raises(VtoonError, match=rf"encoder\.pt: latent_avg is {got}, expected \[3, 4\]"):
        load_encoder(saved(**beside)[0])


def test_an_encoder_without_one_of_its_weights(saved):
    with pytest.raises(VtoonError, match=r"encoder\.pt: damaged, or not as published \(it lacks input_layer\.0\.bias"):
        load_encoder(saved(drop="input_layer.0.bias", latent_avg=torch.ones(ROWS, DIM))[0])


@pytest.mark.parametrize(
    ("key", "weight", "says"),
    [
        ("ffm.convblk.conv.weight", None, "it lacks ffm.convblk.conv.weight"),
        ("conv_out.conv_out.weight", torch.ones(21, 256, 1, 1), r"conv_out\.conv_out\.weight is \[21, 256, 1, 1\]"),
        ("extra", torch.ones(1), "it also holds extra"),
        ("conv_out.conv_out.weight", torch.ones(19, 256, 1, 1).int(), r"conv_out\.conv_out\.weight is whole numbers"),
    ],
)
def test_a_parser_that_is_not_as_published(tmp_path, key, weight, says):
    state = BiSeNet().state_dict()
    state.pop(key, None)
    torch.save(state | ({} if weight is None else {key: weight}), tmp_path / "faceparsing.pth")
    with pytest.raises(VtoonError, match=rf"faceparsing\.pth: damaged, or not as published \({says}"):
        load_parser(tmp_path / "faceparsing.pth")


def test_half_precision_is_drawn_in_full(tmp_path):
    torch.save(
        {k: v.half() if v.is_floating_point() else v for k, v in BiSeNet().state_dict().items()}, tmp_path / "p.pth"
    )
    assert all(p.dtype == torch.float32 for p in load_parser(tmp_path / "p.pth").parameters())
