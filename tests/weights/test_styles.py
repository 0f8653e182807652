import pytest

from vtoon.errors import VtoonError
from vtoon.weights.styles import DEFAULT_ID, StyleBank, build_styles

LOOKS, PALETTES = ["cartoon", "comic", "pencil", "oil"], ["own", *"abcdefg"]


@pytest.fixture
def bank():
    return StyleBank(build_styles(LOOKS, PALETTES))


def test_every_pair_has_one_id_and_one_name(bank):
    assert [s.id for s in bank.styles] == list(range(32))
    assert len({s.name for s in bank.styles}) == len({(s.look, s.palette) for s in bank.styles}) == 32


def test_a_look_that_came_later_moves_no_id(bank):
    grown = build_styles([*LOOKS[:2], "caricature", *LOOKS[2:]], PALETTES)
    assert grown[: len(bank)] == bank.styles
    assert [s.name for s in grown[len(bank) :][:2]] == ["caricature", "caricature-a"] and len(grown) == 40
    assert build_styles(["caricature", "oil"], PALETTES)[0].look == "caricature"


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


@pytest.mark.parametrize("style", ["²", "--2", "- 2", "1_0"])
def test_what_only_looks_like_a_number(bank, style):
    with pytest.raises(VtoonError, match="does not exist"):
        bank.find(style)


@pytest.mark.parametrize(
    ("old", "now"), [("clay", "toon3d"), ("comic-sunset", "comic-film"), ("clay-neon", "toon3d-night")]
)
def test_a_style_of_before_names_what_comes_nearest(old, now):
    bank = StyleBank(build_styles(["toon3d", "comic"], ["own", "print", "night", "film"]))
    with pytest.raises(VtoonError, match=f"{old}.* is no longer drawn: {now} comes nearest"):
        bank.find(old)


def test_a_model_that_still_draws_it_is_not_asked():
    looks = StyleBank(build_styles(["cartoon", "clay"], ["own", "sunset"]))
    assert looks.find("clay-sunset").look == "clay"
