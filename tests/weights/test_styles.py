import pytest
import torch

from vtoon.errors import VtoonError
from vtoon.models.style_codes import StyleCodes
from vtoon.weights.styles import DEFAULT_ID, StyleBank, build_styles

LOOKS, PALETTES = ["cartoon", "comic", "pencil", "oil"], ["own", *"abcdefg"]


@pytest.fixture
def bank():
    return StyleBank(build_styles(LOOKS, PALETTES), StyleCodes(LOOKS, PALETTES, rows=6, dim=4))


def test_every_pair_has_one_id_and_one_name(bank):
    assert [s.id for s in bank.styles] == list(range(32))
    assert len({s.name for s in bank.styles}) == len({(s.look, s.palette) for s in bank.styles}) == 32


def test_the_default_of_vtoonify_commands_is_the_first_look(bank):
    assert bank.find(DEFAULT_ID).look == "cartoon"
    assert bank.find(0).name == "cartoon"


@pytest.mark.parametrize("style", [5, "5", " 5 "])
def test_ids_come_as_numbers_or_text(bank, style):
    assert bank.find(style).id == 5


def test_names(bank):
    assert bank.find("oil-c").palette == "c"


@pytest.mark.parametrize("style", [-1, 32, "99"])
def test_an_id_out_of_range_prints_the_range(bank, style):
    with pytest.raises(VtoonError, match="ids go from 0 to 31"):
        bank.find(style)


def test_a_wrong_name_is_answered_with_near_ones(bank):
    with pytest.raises(VtoonError, match="cartoon"):
        bank.find("carton")


def test_own_colours_unless_asked(bank):
    style, plain = bank.find("oil-c"), bank.find("oil")
    code = bank.code
    assert torch.equal(code(style, 1.0, 96.0), code(plain, 1.0, 96.0))
    assert not torch.equal(code(style, 1.0, 96.0, color_transfer=True), code(plain, 1.0, 96.0))


def test_the_code_moves_evenly_with_the_degree(bank):
    style = bank.find("pencil")
    low, middle, high = (bank.code(style, d, 96.0) for d in (0.0, 0.5, 1.0))
    torch.testing.assert_close(middle, (low + high) / 2)
