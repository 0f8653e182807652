"""The light on a face is followed, what passes by is not."""

from __future__ import annotations

import torch

from vtoon.painters.tones import EVERY, TRACKS, WINDOW, SteadyTones

DARK, LIGHT = torch.full((7,), -0.5), torch.full((7,), 0.5)


def follow(tones: SteadyTones, light: torch.Tensor, frames: int, track: int = 0) -> list[torch.Tensor]:
    return [tones.after(light, track) for _ in range(frames)]


def test_what_passes_by_changes_nothing():
    tones = SteadyTones()
    follow(tones, DARK, WINDOW)
    assert all(t.equal(DARK) for t in follow(tones, LIGHT, WINDOW // 2) + follow(tones, DARK, WINDOW))


def test_a_new_light_comes_in_without_a_step():
    tones = SteadyTones()
    way = follow(tones, DARK, WINDOW) + follow(tones, LIGHT, 2 * WINDOW)
    steps = torch.stack(way).diff(dim=0)
    assert torch.allclose(way[-1], LIGHT, atol=0.02) and steps.min() >= 0 and steps.max() < 0.2


def test_a_cut_forgets_and_faces_do_not_mix():
    tones = SteadyTones()
    follow(tones, DARK, WINDOW)
    assert tones.after(LIGHT, 1).equal(LIGHT) and tones.after(DARK, 0).equal(DARK)
    assert tones.after(LIGHT, 0, cut=True).equal(LIGHT)


def test_the_faces_of_a_long_film_are_forgotten():
    tones = SteadyTones()
    for track in range(10 * TRACKS):
        tones.after(DARK, track)
    assert len(tones._lights) == TRACKS


def test_every_face_is_measured_in_its_first_frame_behind_a_cut_and_now_and_then():
    tones = SteadyTones()

    def measured(track: int, cut: bool = False) -> bool:
        due = tones.due(track, cut)
        tones.after(DARK if due else None, track, cut)
        return due

    assert [measured(0) for _ in range(2 * EVERY)] == ([True] + [False] * (EVERY - 1)) * 2
    assert measured(1) and not measured(1) and measured(1, cut=True) and not measured(1)
