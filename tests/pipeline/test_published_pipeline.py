"""The published pipeline, small networks with random weights, against the steps of the published code done by hand."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import close

from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector, align_face, crop_face, published_crop
from vtoon.faces.detect import THOROUGH, WIDE
from vtoon.image import to_tensor
from vtoon.painters.engine import Job
from vtoon.painters.parsing import ParsingSmoother, neighbours
from vtoon.painters.parsing_map import ParsingMap
from vtoon.painters.published import BAKED, PublishedModel, own_face
from vtoon.pipeline.options import StylizeOptions
from vtoon.pipeline.placement import Paste
from vtoon.pipeline.stylize import Stylizer, load
from vtoon.types import Frame, TrackedFace, TrackedFrame


@pytest.fixture(scope="module")
def loaded(published_folder) -> PublishedModel:
    """Read once, with its parsing network; not to be drawn with."""
    model = PublishedModel(published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt")
    assert model.parser
    return model


@pytest.fixture
def stylizer(loaded, small_encoder) -> Stylizer:
    """A model of each test's own."""
    return Stylizer(copy.deepcopy(loaded), "cpu")


@torch.no_grad()
def by_hand(model: PublishedModel, regions: list[np.ndarray], style_id: int, degree: float, colours: bool) -> list:
    """VToonify's style_transfer.py after its crop: the style from the first region, every frame parsed alone."""
    net, first = model.net, regions[0]
    exemplar = net.zplus2wplus(list(model.codes.values())[style_id])
    style = exemplar
    if not colours:
        face = align_face(first, FaceDetector().detect(first)[0], 256)
        style = net.zplus2wplus(model.encoder(to_tensor(face)))
        style[:, :7] = exemplar[:, :7]
    drawn = []
    for region in regions:
        x = to_tensor(region)
        large = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        parsing = F.interpolate(model.parser(2 * large), scale_factor=0.5)
        y = net(torch.cat([x, parsing / 16], 1), style, torch.full((1, 1), degree))
        drawn.append(((y.clamp(-1, 1) + 1) * 127.5)[0].permute(1, 2, 0).numpy().astype(np.uint8))
    return drawn


@pytest.mark.parametrize("colours", [False, True])
def test_exact_is_the_published_code_frame_for_frame(stylizer, portrait, colours):
    frames = [portrait, np.roll(portrait, 3, 1), portrait[:, ::-1].copy()]
    face = FaceDetector().detect(portrait)[0]
    box = published_crop(face, portrait.shape[:2], (60, 60, 60, 60), 64.0)
    expected = by_hand(stylizer.checkpoint, [crop_face(frame, box) for frame in frames], 2, 0.4, colours)
    assert box.scale > 0.75  # so that nothing is smoothed before it is made smaller
    options = StylizeOptions(style=2, style_degree=0.4, color_transfer=colours, padding=(60,) * 4, exact=True)
    tracked = [TrackedFrame(Frame(frame, i)) for i, frame in enumerate(frames)]
    placement = stylizer.place(options, face, portrait.shape[:2])
    results = list(stylizer.render(iter(tracked), placement, stylizer.engine(options, moving=True), 2))
    assert len(results) == 3
    for result, wanted in zip(results, expected, strict=True):
        assert result.image.shape == wanted.shape == (4 * box.size[0], 4 * box.size[1], 3)
        assert np.abs(result.image.astype(int) - wanted).max() <= 1  # the baked network rounds differently


def test_style_and_degree_change_the_drawing_and_a_bad_id_never_reaches_it(stylizer, portrait):
    draw = lambda **options: stylizer.stylize_image(portrait, placement="crop", padding=(60,) * 4, **options)  # noqa: E731
    first = draw(style=0, style_degree=0.5)
    assert not np.array_equal(first, draw(style=1, style_degree=0.5))
    assert not np.array_equal(first, draw(style=0, style_degree=1.0))
    assert [style.name for style in stylizer.styles] == ["000", "001", "002", "003"]
    with pytest.raises(VtoonError, match="ids go from 0 to 3"):
        draw(style=4)


def test_paste_keeps_the_frame_and_draws_the_face(stylizer, portrait):
    drawn = stylizer.stylize_image(portrait, style=1)
    assert drawn.shape == portrait.shape
    assert np.abs(drawn[100:200, 120:220].astype(int) - portrait[100:200, 120:220]).mean() > 5


def test_toonify_needs_no_codes(published_folder, portrait, small_encoder):
    toonify = load(published_folder / "vtoonify_t_x" / "vtoonify_s_d.pt", "cpu")
    draw = lambda **options: toonify.stylize_image(portrait, placement="crop", padding=(60,) * 4, **options)  # noqa: E731
    plain = draw()
    assert plain.shape[0] % 32 == 0
    assert toonify.notes(StylizeOptions()) == []
    assert "VToonify-T" in toonify.notes(StylizeOptions(style=26))[0]
    assert np.array_equal(draw(style=26, style_degree=0.1), plain)


@pytest.mark.parametrize(
    ("name", "options", "drawn", "says"),
    [
        ("vtoonify_s002_d0.5.pt", {}, (2, 0.5, False), []),
        ("vtoonify_s_d.pt", {}, (0, 1.0, False), []),
        ("vtoonify_s002_d0.5.pt", {"style": 2, "style_degree": 0.5}, (2, 0.5, False), []),
        ("vtoonify_s002_d0.5.pt", {"style": "002"}, (2, 0.5, False), []),
        ("vtoonify_s002_d0.5.pt", {"style": 1, "style_degree": 0.9}, (2, 0.5, False), ["style 2", "degree 0.5"]),
        ("vtoonify_s001_d_c.pt", {"style": 1, "style_degree": 0.9}, (1, 0.9, True), ["color_transfer is on"]),
        ("vtoonify_s_d.pt", {"style": 3, "color_transfer": True}, (3, 1.0, True), ["end in _c"]),
    ],
)
def test_specialised_files_draw_what_they_were_trained_for(published_folder, tmp_path, name, options, drawn, says):
    home = tmp_path / "vtoonify_d_x"
    home.mkdir()
    for source, target in (("vtoonify_s_d.pt", name), ("exstyle_code.npy", "exstyle_code.npy")):
        (home / target).symlink_to(published_folder / "vtoonify_d_x" / source)
    stylizer = load(home / name, "cpu")
    chosen = StylizeOptions(**options)
    style, degree, colours = stylizer.settled(chosen)
    notes = stylizer.notes(chosen)
    assert (style.id, degree, colours) == drawn
    assert len(notes) == len(says) and all(part in note for part, note in zip(says, notes, strict=True))


def test_a_specialised_file_with_codes_of_another_model(published_folder, tmp_path):
    for source, target in (("vtoonify_s_d.pt", "vtoonify_s004_d0.5.pt"), ("exstyle_code.npy", "exstyle_code.npy")):
        (tmp_path / target).symlink_to(published_folder / "vtoonify_d_x" / source)
    with pytest.raises(
        VtoonError, match=r"vtoonify_s004_d0\.5\.pt draws style 4 only, but there are style codes 0 to 3"
    ):
        load(tmp_path / "vtoonify_s004_d0.5.pt", "cpu").settled(StylizeOptions())


def test_the_first_frame_that_shows_the_face_gives_its_style_whatever_the_batch(stylizer, portrait):
    frames = [np.full_like(portrait, 128), portrait, portrait]

    def draw(batch: int) -> list[np.ndarray]:
        options = StylizeOptions(style=2, padding=(60,) * 4, exact=True, batch_size=batch)
        placement = stylizer.place(options, FaceDetector().detect(portrait)[0], portrait.shape[:2])
        tracked = iter([TrackedFrame(Frame(frame, i)) for i, frame in enumerate(frames)])
        return [r.image for r in stylizer.render(tracked, placement, stylizer.engine(options, moving=True), batch)]

    for one, four in zip(draw(1), draw(4), strict=True):
        assert np.abs(one.astype(int) - four).max() <= 1


def test_a_face_that_comes_late_is_looked_for_with_care(stylizer, portrait, monkeypatch):
    efforts = []
    monkeypatch.setattr(FaceDetector, "detect", lambda self, image, effort: efforts.append(effort) or [])
    painter = stylizer.engine(StylizeOptions(style=1, exact=True), moving=True).painter
    for _ in range(27):
        painter.style_of(Job(portrait, 64.0))
    assert efforts == [THOROUGH] * 4 + [WIDE] * 21 + [THOROUGH, WIDE]


def test_the_style_is_that_of_the_face_which_is_followed_not_of_a_bigger_one_beside_it(stylizer, portrait):
    face = FaceDetector().detect(portrait)[0]
    both = np.zeros((400, 700, 3), np.uint8)
    both[: portrait.shape[0], : portrait.shape[1]] = portrait
    small = cv2.resize(portrait, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both[: small.shape[0], 420 : 420 + small.shape[1]] = small[:, : 700 - 420]
    found = FaceDetector().detect(both)
    expected = face.moved(0.6, (420, 0))
    job = Job(both, expected.eye_distance, middle=tuple(expected.eye_middle))
    assert len(found) == 2 and np.abs(own_face(job, found).points - expected.points).max() < 6
    assert own_face(replace(job, middle=None), found) is found[0]
    assert own_face(replace(job, middle=(350.0, 380.0)), found) is None
    assert own_face(job, []) is None


def test_a_region_knows_where_its_face_is(portrait):
    face = FaceDetector().detect(portrait)[0]
    (region,) = Paste(96.0).regions(TrackedFrame(Frame(portrait), (TrackedFace(0, face),), cut=True))
    (seen,) = FaceDetector().detect(region.job.image)
    assert np.hypot(*(seen.eye_middle - region.job.middle)) < 3


def test_the_files_beside_are_found_from_inside_the_folder(published_folder, monkeypatch):
    monkeypatch.chdir(published_folder / "vtoonify_d_x")
    model = load("vtoonify_s_d.pt", "cpu").checkpoint
    assert model.parser is not None and len(model.codes) == 4


def test_parsing_is_not_carried_over_a_cut(stylizer, portrait):
    """Frames after a cut are parsed as if the clip began there."""
    portrait = np.ascontiguousarray(portrait[90:186, 110:206])  # the face alone: less to parse
    other = np.ascontiguousarray(portrait[::-1, :, ::-1])
    shots = [[Job(portrait, 64.0)] * 3, [Job(other, 64.0, cut=True), *[Job(other, 64.0)] * 2]]
    painter = stylizer.engine(StylizeOptions(style=1, placement="crop", parse_every=4), moving=True).painter
    prepare = lambda jobs: [own.parsing for (own,) in painter.prepare([job] for job in jobs)]  # noqa: E731
    together, apart = prepare(shots[0] + shots[1]), prepare(shots[0]) + prepare(shots[1])
    scale = torch.stack(apart).abs().mean()
    for got, wanted in zip(together[:3], apart[:3], strict=True):
        assert (got - wanted).abs().max() < 1e-4 * scale
    assert (together[3] - apart[3]).abs().mean() < 0.05 * scale  # it is followed, not parsed: it is the fourth


def test_a_parsing_map_that_is_not_finite(stylizer, portrait, tmp_path):
    np.save(tmp_path / "nan.npy", np.full((1, 19, 320, 320), np.nan, np.float32))
    with pytest.raises(VtoonError, match=r"nan\.npy: frame 0 holds values that are not finite"):
        stylizer.stylize_image(portrait, placement="full", parsing_map=tmp_path / "nan.npy")


@pytest.mark.parametrize("name", ["many.npz", "net.pt", "cut.npz", "bad.npy"])
def test_what_is_no_parsing_map(tmp_path, name):
    np.savez(tmp_path / "many.npz", a=np.zeros(3))
    torch.save({"a": torch.zeros(3)}, tmp_path / "net.pt")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "many.npz").read_bytes()[:100])
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00\x12\x00{'descr': ('<f4', \n")
    with pytest.raises(VtoonError, match=r"npy"):
        ParsingMap(tmp_path / name)


def test_a_published_model_is_looked_for_or_named_with_the_command_that_gets_it(
    published_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    wanted = Path("checkpoint/vtoonify_d_x/vtoonify_s_d.pt")
    with pytest.raises(
        VtoonError, match=r"missing: it goes to checkpoint/vtoonify_d_x/vtoonify_s_d\.pt; .*checkpoints\.py"
    ):
        load(wanted, "cpu")
    (tmp_path / "models").symlink_to(published_folder)
    assert load(wanted, "cpu").checkpoint.path == Path("models/vtoonify_d_x/vtoonify_s_d.pt")


def test_a_missing_companion_is_named_with_the_command_that_gets_it(published_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "vtoonify_s_d.pt").symlink_to(published_folder / "vtoonify_d_x" / "vtoonify_s_d.pt")
    with pytest.raises(VtoonError, match=r"exstyle_code.npy is missing.*download_checkpoints.py"):
        load(tmp_path / "alone" / "vtoonify_s_d.pt", "cpu")


def save(path: Path, maps: np.ndarray) -> Path:
    np.save(path, maps)
    return path


def test_parsing_maps_from_a_file_are_used(stylizer, portrait, tmp_path):
    options = {"style": 1, "placement": "crop", "padding": (60,) * 4}
    plain = stylizer.stylize_image(portrait, **options)
    height, width = (side // 4 for side in plain.shape[:2])
    maps = np.random.default_rng(0).normal(0, 9, (1, 19, height, width)).astype(np.float32)
    save(tmp_path / "map.npy", maps)
    engine = stylizer.engine(StylizeOptions(**options, parsing_map=tmp_path / "map.npy"))
    face = FaceDetector().detect(portrait)[0]
    placement = stylizer.place(StylizeOptions(**options), face, portrait.shape[:2])
    render = lambda n: list(stylizer.render(iter([TrackedFrame(Frame(portrait))] * n), placement, engine, 1))  # noqa: E731
    assert not np.array_equal(render(1)[0].image, plain)
    with pytest.raises(VtoonError, match="the clip has more"):
        render(2)
    save(tmp_path / "map.npy", maps[:, :, :-8])
    engine = stylizer.engine(StylizeOptions(**options, parsing_map=tmp_path / "map.npy"))
    with pytest.raises(VtoonError, match="but the region is"):
        render(1)


def test_without_the_crop_the_whole_frame_is_drawn_as_published(stylizer, portrait, tmp_path):
    """VToonify without --scale_image: the frame as it is, four times as large; maps of it fit to the pixel."""
    image = portrait[:160, 40:240]
    expected = by_hand(stylizer.checkpoint, [image], 2, 0.4, True)[0]
    options = {"style": 2, "style_degree": 0.4, "color_transfer": True, "placement": "full"}
    drawn = stylizer.stylize_image(image, **options, exact=True)
    assert drawn.shape == (640, 800, 3) and np.abs(drawn.astype(int) - expected).max() <= 1
    maps = save(tmp_path / "map.npy", np.random.default_rng(0).normal(0, 9, (1, 19, 160, 200)).astype(np.float32))
    with_maps = stylizer.stylize_image(image, **options, parsing_map=maps, dtype="fp32")
    assert with_maps.shape == drawn.shape and not np.array_equal(with_maps, drawn)


def test_each_face_is_looked_at_once_however_many_there_are(stylizer, portrait, monkeypatch):
    painter, asked = stylizer.engine(StylizeOptions(style=2)).painter, []
    real = PublishedModel.face_style
    monkeypatch.setattr(PublishedModel, "face_style", lambda *args: asked.append(1) or real(*args))
    first = [painter.styled(Job(np.roll(portrait, track, 1), 64.0, track))[1] for track in range(6)]
    again = [painter.styled(Job(portrait, 64.0, track))[1] for track in range(6)]
    assert len(asked) == 6 and len(painter.nets) == BAKED
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def smoothed_by_hand(images, parser, estimate, window):
    """The published formula, all frames at once."""
    large = [F.interpolate(to_tensor(image), scale_factor=2, mode="bilinear", align_corners=False) for image in images]
    logits = [parser(2 * x) for x in large]
    order = [*range(window), *range(len(images)), *range(len(images) - window, len(images))]
    kernel = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 64
    results = []
    for i, x in enumerate(large):
        total, weights = 0, 0
        for j in range(2 * window + 1):
            k, fade = order[i + j], np.exp(-((j - window) ** 2) / (2 * (window + 0.5) ** 2))
            if j == window:
                warped, likeness = logits[i], torch.ones_like(x[:, :1])
            else:
                dx, dy = estimate(x, large[k])
                warped, other = (torch.roll(t, (-dy, -dx), (2, 3)) for t in (logits[k], large[k]))
                likeness = torch.exp(-(other - x).square().mean(1, keepdim=True) / (2 * 0.2**2))
                rows, cols = torch.meshgrid(*(torch.arange(n) for n in x.shape[2:]), indexing="ij")
                height, width = x.shape[2:]
                likeness = likeness * ((rows + dy < height) & (rows + dy >= 0) & (cols + dx < width) & (cols + dx >= 0))
            total, weights = total + warped * likeness * fade, weights + likeness * fade
        fused = F.pad(total / weights, (1, 1, 1, 1))
        results.append(F.conv2d(fused, kernel.expand(4, 1, 4, 4), stride=2, groups=4)[0])
    return results


@pytest.mark.parametrize("count", [3, 4, 9])
def test_smoothed_parsing_is_the_published_formula(count):
    rng, window = np.random.default_rng(0), 2
    base = np.kron(rng.integers(0, 255, (6, 7, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    images = [np.clip(base + rng.integers(0, 20, base.shape), 0, 255).astype(np.uint8) for _ in range(count)]
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    parser = lambda x: F.conv2d(x, weight, padding=1)  # noqa: E731
    shift = (2, -1)
    flow = lambda a, b: np.float32(shift).reshape(2, 1, 1) * np.ones((1, *a.shape[:2]), np.float32)  # noqa: E731
    smoother = ParsingSmoother(parser, flow, window=window)
    streamed = list(smoother.smooth([("face", image)] for image in images))
    expected = smoothed_by_hand(images, parser, lambda a, b: shift, window)
    assert len(streamed) == count
    for (result,), wanted in zip(streamed, expected, strict=True):
        assert close(result, wanted)


def test_smoothing_keeps_faces_apart_and_holds_a_bounded_number_of_frames():
    pulled = []
    image = np.zeros((8, 8, 3), np.uint8)

    def frames():
        for i in range(40):
            pulled.append(i)
            yield [("a", image)] + [("b", image + 200)] * (10 <= i < 12)

    parser = lambda x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1)  # noqa: E731
    smoother = ParsingSmoother(parser, lambda a, b: np.zeros((2, *a.shape[:2]), np.float32), window=3)
    for i, logits in enumerate(smoother.smooth(frames())):
        assert len(logits) == 1 + (10 <= i < 12)
        assert len(pulled) - i <= 5
        assert [round(float(part[:, 2:-2, 2:-2].mean()), 2) for part in logits] == [-2.0, 1.14][: len(logits)]


def test_neighbours_stay_in_the_run():
    there = [True, True, False, True, True, True, True]
    assert neighbours([True] * 5, 2, 1) == [(-1, 1), (0, 2), (1, 3)]
    assert neighbours([True] * 5, 0, 2) == [(-2, 0), (-1, 1), (0, 0), (1, 1), (2, 2)]
    assert {index for _, index in neighbours(there, 4, 3)} <= {3, 4, 5, 6}
    assert {index for _, index in neighbours(there, 0, 3)} <= {0, 1}


def test_the_model_is_not_changed_by_drawing(stylizer, portrait):
    before = copy.deepcopy(stylizer.checkpoint.net.state_dict())
    stylizer.stylize_image(portrait, placement="crop", padding=(60,) * 4)
    after = stylizer.checkpoint.net.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_sixteen_bits_draw_the_same_but_for_two_levels(stylizer, portrait, dtype):
    draw = lambda dtype: stylizer.stylize_image(portrait, placement="crop", padding=(60,) * 4, dtype=dtype)  # noqa: E731
    wanted, drawn = draw("fp32").astype(int), draw(dtype)
    assert np.abs(drawn - wanted).mean() < 2
    assert not np.array_equal(drawn, wanted)  # it is another arithmetic indeed


def test_what_does_not_fit_into_sixteen_bits_is_drawn_in_thirty_two(stylizer, portrait, caplog):
    options = {"placement": "crop", "padding": (60,) * 4}
    with torch.no_grad():
        stylizer.checkpoint.net.encoder[0][0].weight *= 1e6
        stylizer.checkpoint.net.encoder[0][2].weight *= 1e-6
    wanted = stylizer.stylize_image(portrait, dtype="fp32", **options)
    assert np.array_equal(stylizer.stylize_image(portrait, dtype="fp16", **options), wanted)
    assert "too narrow" in caplog.text


def test_a_compiled_network_draws_the_same(stylizer, portrait, monkeypatch):
    real, modes = torch.compile, []
    monkeypatch.setattr(torch, "compile", lambda net, mode: modes.append(mode) or real(net, backend="eager"))
    options = {"placement": "crop", "padding": (60,) * 4, "color_transfer": True}
    draw = lambda **more: stylizer.stylize_image(portrait, **options, **more)  # noqa: E731
    assert np.abs(draw(compile=True).astype(int) - draw()).max() <= 1
    assert modes == [None]  # CUDA graphs are for CUDA


def test_a_network_that_cannot_be_compiled_ends_in_one_line(stylizer, portrait, monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net, mode: real(net, backend=broken))
    with pytest.raises(VtoonError, match="could not be compiled"):
        stylizer.stylize_image(portrait, placement="crop", padding=(60,) * 4, color_transfer=True, compile=True)


def test_parsing_follows_the_motion_between_the_frames_that_are_parsed(portrait):
    parsed, still = [], lambda a, b: np.zeros((2, *a.shape[:2]), np.float32)

    def parser(x):
        parsed.append(x)
        return x.repeat(1, 2, 1, 1) * len(parsed)

    small = portrait[100:164, 100:164]
    frames = [[("a", small)]] * 5 + [[("a", small), ("b", small)]]
    logits = list(ParsingSmoother(parser, still, window=0, every=3).smooth(frames))
    assert len(parsed) == 3  # frames 0 and 3, and "b" where it appears
    assert torch.allclose(logits[1][0], logits[0][0]) and torch.allclose(logits[5][0], 2 * logits[0][0], atol=1e-5)
    assert torch.allclose(logits[5][1], 3 * logits[0][0], atol=1e-5)
