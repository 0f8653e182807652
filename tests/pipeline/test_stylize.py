"""The straight line, on a tiny random model: what the pipeline promises whatever the model draws."""

import platform
import weakref
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vtoon
from vtoon.errors import VtoonError
from vtoon.image import recolour
from vtoon.painters.builtin import sharpened
from vtoon.painters.engine import Engine, Job, pick_device, pick_dtype
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.stylize import Stylizer
from vtoon.system.clock import StageClock
from vtoon.system.memory import free_bytes, kept_bytes, reuse_freed_memory
from vtoon.types import Frame
from vtoon.video import VideoReader, VideoWriter
from vtoon.weights.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def stylizer(tiny_model) -> Stylizer:
    return vtoon.load(tiny_model, device="cpu")


def engine_of(stylizer, **options):
    return stylizer.engine(StylizeOptions(**options))


def frames_of(path):
    with VideoReader(path) as reader:
        return list(reader)


def portrait_clip(path, portrait, count=8, start=7):
    """The face moves 2 px a frame; frame times are uneven and do not start at zero."""
    times = np.cumsum([start, *([40, 20, 80] * count)[: count - 1]])
    with VideoWriter(path, crf=10) as writer:
        for i, pts in enumerate(times):
            writer.write(Frame(np.roll(portrait, 2 * i, 1), int(pts), Fraction(1, 1000)))
    return path


def test_engine_gives_each_region_its_size_and_its_own_result(stylizer):
    rng = np.random.default_rng(0)
    sizes = [(40, 48), (33, 57), (40, 48), (9, 8)]
    jobs = [Job(rng.integers(0, 255, (*size, 3), dtype=np.uint8), 80.0) for size in sizes]
    together = engine_of(stylizer, batch_size=8).draw(jobs)
    alone = [engine_of(stylizer).draw([job])[0] for job in jobs]
    for a, b, size in zip(together, alone, sizes, strict=True):
        assert a.shape[:2] == size
        assert np.abs(a.astype(int) - b).max() <= 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_engine_halves_a_batch_that_does_not_fit(stylizer, monkeypatch, error):
    engine = engine_of(stylizer, batch_size=4)
    real, seen = engine.painter, []

    class Limited:
        rounding, bytes_per_pixel, dtype = True, 1, torch.float32

        def __call__(self, x, jobs):
            seen.append(len(x))
            if len(x) > 1:
                raise error
            return real(x, jobs)

    monkeypatch.setattr(engine, "painter", Limited())
    jobs = [Job(np.zeros((16, 16, 3), np.uint8), 80.0)] * 4
    assert len(engine.draw(jobs)) == 4 and seen == [4, 2, 1, 1, 1, 1]
    seen.clear()
    assert len(engine.draw(jobs)) == 4 and seen == [1, 1, 1, 1]  # what did not fit is not tried again


def test_another_error_of_the_painter_is_not_taken_for_want_of_memory(stylizer, monkeypatch):
    engine = engine_of(stylizer)

    def broken(x, jobs):
        raise RuntimeError("sizes do not match")

    broken.bytes_per_pixel = 1
    monkeypatch.setattr(engine, "painter", broken)
    with pytest.raises(RuntimeError, match="do not match"):
        engine.draw([Job(np.zeros((16, 16, 3), np.uint8), 80.0)])


def test_a_failed_attempt_holds_no_memory_while_the_next_one_runs(stylizer, monkeypatch):
    engine, held = engine_of(stylizer, batch_size=2), []

    class Limited:
        rounding, bytes_per_pixel, dtype = True, 1, torch.float32

        def __call__(self, x, jobs):
            assert not [ref for ref in held if ref() is not None]
            features = torch.zeros(8)
            held.append(weakref.ref(features))
            if len(x) > 1:
                raise torch.OutOfMemoryError
            return x

    monkeypatch.setattr(engine, "painter", Limited())
    assert len(engine.draw([Job(np.zeros((16, 16, 3), np.uint8), 80.0)] * 2)) == 2


def test_what_pytorch_keeps_of_a_gpu_counts_as_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert free_bytes(torch.device("cuda")) == 150


def test_memory_that_was_freed_and_kept_is_free():
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split("."))) < (2, 33):
        pytest.skip("the C library is not glibc 2.33 or later")
    assert reuse_freed_memory()
    size = 300 * 2**20
    block = torch.ones(size, dtype=torch.uint8)
    used = kept_bytes()
    del block
    assert kept_bytes() - used > 0.99 * size


def test_a_size_that_was_drawn_is_not_refused_later(monkeypatch):
    engine = Engine(SimpleNamespace(bytes_per_pixel=100), "cpu")
    monkeypatch.setattr("vtoon.painters.engine.free_bytes", lambda device: 100 * 64 * 64)
    assert engine.batch(64, 64) == 1
    monkeypatch.setattr("vtoon.painters.engine.free_bytes", lambda device: 10)  # what was prepared meanwhile takes room
    assert engine.batch(64, 64) == engine.batch(32, 64) == 1
    with pytest.raises(VtoonError, match="free"):
        engine.batch(64, 72)


def test_a_region_that_no_memory_holds_is_refused_before_it_is_tried(stylizer, monkeypatch):
    jobs = [Job(np.zeros((64, 64, 3), np.uint8), 80.0)] * 3
    engine = engine_of(stylizer, batch_size=3)
    need = 64 * 64 * engine.painter.bytes_per_pixel
    monkeypatch.setattr("vtoon.painters.engine.free_bytes", lambda device: 4 * need)
    assert engine.batch(64, 64) == 2 and len(engine.draw(jobs)) == 3
    monkeypatch.setattr("vtoon.painters.engine.free_bytes", lambda device: need - 1)
    with pytest.raises(VtoonError, match="64x64 px takes about"):
        engine_of(stylizer).draw(jobs)


def test_the_arithmetic_suits_the_device(monkeypatch):
    cpu, able = torch.device("cpu"), {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert pick_dtype("auto", torch.device("cuda"), half=torch.bfloat16) is torch.float32  # a T4 or V100
    assert pick_dtype("auto", cpu) is torch.bfloat16 and pick_dtype("auto", torch.device("cuda")) is torch.float16
    able["avx512_bf16"] = False
    assert (
        pick_dtype("auto", cpu) is pick_dtype("fp32", cpu) is pick_dtype("auto", torch.device("mps")) is torch.float32
    )


def test_sixteen_bits_hardly_change_the_drawing(stylizer, portrait):
    wanted = stylizer.stylize_image(portrait, dtype="fp32").astype(int)
    for dtype in ("bf16", "fp16"):
        drawn = stylizer.stylize_image(portrait, dtype=dtype)
        assert 0 < np.abs(drawn - wanted).mean() < 0.5 and np.abs(drawn - wanted).max() < 8  # random weights amplify


def test_an_enlarged_face_gets_its_edges_back_as_far_as_it_is_drawn(stylizer):
    soft = np.repeat(np.linspace(60, 200, 64)[None, :, None], 64, 0).repeat(3, 2).astype(np.uint8)
    soft[:, :16], soft[:, 48:] = 60, 200

    def drawn(scale, degree):
        (image,) = engine_of(stylizer, style_degree=degree).draw([Job(soft, 64.0, scale=scale)])
        return image.astype(int)

    assert np.array_equal(drawn(2.0, 0.0), drawn(1.0, 0.0)) and np.array_equal(drawn(0.5, 1.0), drawn(1.0, 1.0))
    assert np.abs(drawn(2.0, 1.0) - drawn(1.0, 1.0)).max() > 0
    x = torch.linspace(-0.5, 0.5, 64).expand(1, 3, 64, 64).clamp(-0.3, 0.3)
    sharp = sharpened(x, [Job(soft, 64.0, scale=2.0)], 1.0)
    assert sharp.diff(dim=3).max() > 1.2 * x.diff(dim=3).max()


def test_a_moving_face_is_drawn_in_a_light_that_is_followed(stylizer):
    dark, light = ([Job(np.full((48, 48, 3), level, np.uint8), 80.0)] for level in (60, 200))
    frames = [dark] * 30 + [light] + [dark]

    def tones(**options):
        painter = stylizer.engine(StylizeOptions(**options), moving=True).painter
        return [job.tones for (job,) in painter.prepare(iter(frames))]

    followed = tones()
    assert torch.allclose(followed[30], followed[29])
    assert tones(steady=False) == [None] * len(frames)
    new_shot = [replace(job, cut=True) for job in light]
    painter = stylizer.engine(StylizeOptions(), moving=True).painter
    *_, (before,), (after,) = painter.prepare(iter([*frames, new_shot]))
    assert (after.tones - before.tones).abs().max() > 0.5


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(VtoonError, match="not known"):
        pick_device("tpu")
    with pytest.raises(VtoonError, match="not known"):
        pick_device("cpu:x")
    with pytest.raises(VtoonError, match="cuda:9 is not available"):
        pick_device("cuda:9")
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"style_degree": 1.5}, "between 0"),
        ({"style_degree": float("nan")}, "between 0"),
        ({"placement": "middle"}, "crop, paste or full"),
        ({"faces": "some"}, "all or largest"),
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": 2.5}, "at least 1"),
        ({"padding": (1, 2, 3)}, "four numbers"),
        ({"dtype": "int8"}, "auto, fp32, bf16, fp16"),
        ({"parse_every": 0}, "at least 1"),
        ({"detail": 20.0}, "auto or 64 to 160"),
        ({"detail": "fine"}, "auto or 64 to 160"),
    ],
)
def test_options_are_checked(options, says):
    with pytest.raises(VtoonError, match=says):
        StylizeOptions(**options)


@pytest.mark.parametrize("placement", ["paste", "full", "crop"])
def test_frames_and_times_survive(stylizer, tmp_path, portrait, placement):
    source = portrait_clip(tmp_path / "in.mp4", portrait)
    summary = stylizer.stylize_video(source, tmp_path / "out.mp4", placement=placement)
    before, after = frames_of(source), frames_of(tmp_path / "out.mp4")
    assert summary.frames == len(before) == len(after)
    assert [f.pts * f.time_base for f in before] == [f.pts * f.time_base for f in after]
    assert summary.faces == 1 and summary.damaged is None
    if placement != "crop":
        assert after[0].image.shape == before[0].image.shape


def test_paste_leaves_the_rest_of_the_frame_alone(stylizer, portrait):
    scene = np.full((400, 900, 3), 128, np.uint8)
    scene[40:360, 40:360] = portrait
    drawn = stylizer.stylize_image(scene)
    assert np.array_equal(drawn[:, 600:], scene[:, 600:])
    assert np.abs(drawn[100:250, 100:300].astype(int) - scene[100:250, 100:300]).mean() > 2


def test_two_faces_are_drawn_or_only_the_largest(stylizer, portrait):
    import cv2

    scene = np.full((420, 760, 3), 128, np.uint8)
    scene[50:370, 20:340] = portrait
    small = cv2.resize(portrait, (260, 260), interpolation=cv2.INTER_AREA)
    scene[80:340, 460:720] = small
    both, faces = stylizer.stylize_picture(scene)
    largest, _ = stylizer.stylize_picture(scene, faces="largest")
    assert faces == 2
    on_small = slice(120, 220), slice(520, 640)
    assert not np.array_equal(both[on_small], scene[on_small])
    assert np.array_equal(largest[on_small], scene[on_small])


@pytest.mark.parametrize("placement", ["paste", "crop"])
def test_no_face_passes_through(stylizer, tmp_path, make_clip, placement):
    source = make_clip(tmp_path / "in.mp4", frames=5)
    summary = stylizer.stylize_video(source, tmp_path / "out.mp4", placement=placement, crf=1)
    assert summary.faces == 0 and summary.frames == 5
    for a, b in zip(frames_of(source), frames_of(tmp_path / "out.mp4"), strict=True):
        assert np.abs(a.image.astype(int) - b.image).mean() < 3


def test_a_failing_network_leaves_no_output(stylizer, tmp_path, portrait, monkeypatch):
    def broken(self, jobs):
        raise VtoonError("the network is ill")

    monkeypatch.setattr(Engine, "draw", broken)
    source = portrait_clip(tmp_path / "in.mp4", portrait)
    with pytest.raises(VtoonError, match="ill"):
        stylizer.stylize_video(source, tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_clock_counts_a_stage_without_the_one_before():
    now = iter(range(100))
    clock = StageClock()
    import vtoon.system.clock

    ticks = vtoon.system.clock.time.perf_counter
    try:
        vtoon.system.clock.time.perf_counter = lambda: float(next(now))
        with clock.measure("outer"), clock.measure("inner"):
            pass
    finally:
        vtoon.system.clock.time.perf_counter = ticks
    assert clock.seconds == {"inner": 1.0, "outer": 2.0}


def test_degree_zero_of_the_built_in_model_is_nearer_to_the_photo_than_degree_one(portrait):
    """And the way from one to the other is even."""
    s = Stylizer(load_checkpoint(), "cpu")
    face = slice(60, 260), slice(60, 260)
    distance = [
        np.abs(s.stylize_image(portrait, style_degree=d)[face].astype(int) - portrait[face]).mean()
        for d in (0.0, 0.5, 1.0)
    ]
    assert distance[0] < 0.5 * distance[2]
    assert distance[0] < distance[1] < distance[2]


def test_a_palette_colours_the_scene_as_it_does_the_drawing(stylizer, portrait):
    """Far from the face the frame is recoloured alone; without a palette it is left as it was."""
    corner, options = np.s_[-8:, :8], {"style_degree": 0.5, "dtype": "fp32"}
    plain = stylizer.stylize_image(portrait, style="cartoon", **options)
    assert np.array_equal(plain[corner], portrait[corner])
    model = stylizer.checkpoint.model
    ramp = torch.linspace(-1, 1, 256)[:, None] * torch.tensor([1.0, 0.5, 0.0])
    before = model.palettes.ramps[1].clone(), float(model.palettes.own[1])
    try:
        model.palettes.put("sunset", ramp, 0.25)
        toon = stylizer.stylize_image(portrait, style="cartoon-sunset", color_transfer=True, **options)
        wanted = recolour(portrait[corner], (ramp.numpy() + 1) * 127.5, 0.25)
        half = (portrait[corner].astype(int) + wanted) / 2
        assert np.abs(toon[corner] - half).max() <= 1
        untouched = stylizer.stylize_image(portrait, style="cartoon-sunset", **options)
        assert np.array_equal(untouched[corner], portrait[corner])
    finally:
        model.palettes.put("sunset", *before)
