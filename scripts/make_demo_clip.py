"""Make the demo clip: six seconds of a public-domain portrait that turns its head before a moving camera, with sound.

    python scripts/make_demo_clip.py [OUT=data/demo.mp4]

The portrait is NASA's photograph of Eileen Collins, public domain, which scikit-image carries as `data.astronaut()`.
The same input gives the same pictures every time; nothing is downloaded.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from math import cos, pi, radians, sin
from pathlib import Path

import av
import cv2
import numpy as np
from skimage.data import astronaut

from vtoon.errors import VtoonError
from vtoon.video import VideoWriter

SIZE, RATE, SECONDS = 512, 25, 6  # px, frames/s, s
SAMPLE_RATE = 44100
SUPERSAMPLE = 3  # the portrait is enlarged once with a good filter, then warped

# Places in the 512 x 512 portrait, px.
FACE, NOSE, NECK = (225, 118), (222, 128), (228, 190)
HEAD_RADII, NOSE_RADII = (62, 74), (17, 24)
HEAD_DEPTH, NOSE_DEPTH = 76.0, 26.0  # how far face and tip of the nose stand out towards the camera, px

# Chords as frequencies in Hz: F major 7, A minor 7, C major 9; two seconds each.
CHORDS = (
    (174.61, 261.63, 329.63, 440.00),
    (220.00, 261.63, 329.63, 392.00),
    (130.81, 329.63, 392.00, 587.33),
)


def head_motion(t: float) -> tuple[float, float, float]:
    """(yaw, nod, tilt) in radians at `t` in [0, 1): to one side, then the other, with a small nod."""
    turn = 2 * pi * t
    return radians(11) * sin(turn), radians(3) * sin(2 * turn + 0.6), radians(2) * sin(turn - 0.5)


def camera_motion(t: float) -> tuple[float, float, float, float]:
    """(x and y of the centre in the portrait, zoom, roll in radians) at `t` in [0, 1): slowly closer, with a drift."""
    turn, ease = 2 * pi * t, t * t * (3 - 2 * t)
    x, y = 227 + 7 * sin(turn + 1), 136 - 7 * ease + 3 * sin(2 * turn)
    return x, y, 1.98 + 0.27 * ease, radians(1.5) * sin(turn + 2)


def bump(x: np.ndarray, y: np.ndarray, centre: tuple[int, int], radii: tuple[int, int]) -> np.ndarray:
    """Gaussian hill, 1 at its centre."""
    return np.exp(-0.5 * (np.square((x - centre[0]) / radii[0]) + np.square((y - centre[1]) / radii[1])))


def warp_map(t: float) -> tuple[np.ndarray, np.ndarray]:
    """Where in the portrait each pixel of the frame comes from: x and y, float32 [SIZE, SIZE] px.

    The camera first, then the head: a hill of depth in the place of the face slides by depth * sin(angle), as points
    of a turning head do, and the whole head tilts about the neck.
    """
    centre_x, centre_y, zoom, roll = camera_motion(t)
    v, u = (np.mgrid[:SIZE, :SIZE].astype(np.float32) - (SIZE - 1) / 2) / zoom
    x = cos(roll) * u - sin(roll) * v + centre_x
    y = sin(roll) * u + cos(roll) * v + centre_y
    yaw, nod, tilt = head_motion(t)
    head = bump(x, y, FACE, HEAD_RADII)
    depth = HEAD_DEPTH * head + NOSE_DEPTH * bump(x, y, NOSE, NOSE_RADII)
    tilted_x, tilted_y = tilt * head * (y - NECK[1]), -tilt * head * (x - NECK[0])
    return x - depth * sin(yaw) + tilted_x, y - depth * sin(nod) + tilted_y


def pictures() -> Iterator[np.ndarray]:
    """Every frame, uint8 [SIZE, SIZE, 3] RGB."""
    large = cv2.resize(astronaut(), None, fx=SUPERSAMPLE, fy=SUPERSAMPLE, interpolation=cv2.INTER_LANCZOS4)
    blurred = cv2.GaussianBlur(large, (0, 0), 3)
    large = cv2.addWeighted(large, 1.3, blurred, -0.3, 0)  # gives back what enlarging takes from the edges
    count = RATE * SECONDS
    for n in range(count):
        x, y = (SUPERSAMPLE * (place + 0.5) - 0.5 for place in warp_map(n / count))
        yield cv2.remap(large, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def music() -> np.ndarray:
    """Soft chords, int16 [1, 2 * samples] interleaved stereo: sines with two overtones that swell and fade."""
    length = SECONDS * SAMPLE_RATE
    time = np.arange(length) / SAMPLE_RATE
    left, right = np.zeros(length), np.zeros(length)
    each = SECONDS / len(CHORDS)
    for number, chord in enumerate(CHORDS):
        local = time - number * each
        envelope = np.clip(local / 0.25, 0, 1) * np.exp(-np.clip(local, 0, None) / 1.4) * (local >= 0)
        for voice, frequency in enumerate(chord):
            enters = np.clip((local - 0.12 * voice) / 0.1, 0, 1)  # the notes come one after another
            phase = 2 * np.pi * frequency * time
            tone = envelope * enters * (np.sin(phase) + 0.25 * np.sin(2 * phase) + 0.08 * np.sin(3 * phase))
            pan = 0.35 + 0.1 * voice
            left, right = left + (1 - pan) * tone, right + pan * tone
    fade = np.clip((SECONDS - time) / 0.8, 0, 1)
    stereo = np.stack([left, right], 1) * fade[:, None]
    return np.rint(9000 * stereo / np.abs(stereo).max()).astype(np.int16).reshape(1, -1)


def write_sound(path: Path) -> None:
    """The chords as AAC in an MP4 file of their own."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=SAMPLE_RATE)
        stream.codec_context.bit_rate = 128_000
        samples, step = music(), 2 * 1024
        for start in range(0, samples.shape[1], step):
            frame = av.AudioFrame.from_ndarray(samples[:, start : start + step], "s16", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start // 2, Fraction(1, SAMPLE_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def make_demo_clip(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.m4a"
        write_sound(sound)
        with VideoWriter(path, size=(SIZE, SIZE), rate=RATE, sound=sound, crf=17, overwrite=True) as writer:
            for n, picture in enumerate(pictures()):
                writer.write(picture, n, Fraction(1, RATE))


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "data/demo.mp4")
    try:
        make_demo_clip(target)
    except VtoonError as error:
        sys.exit(str(error))
    print(target)
