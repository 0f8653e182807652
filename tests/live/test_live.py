"""Drawn as it comes: what is too fast is left out, nothing waits for the future, what goes away comes back."""

from __future__ import annotations

import contextlib
import gc
import io
import socket
import sys
import threading
import time
import tracemalloc

import av
import numpy as np
import pytest

import vtoon
from vtoon.cli.live import obey
from vtoon.errors import VtoonError
from vtoon.faces import FaceDetector
from vtoon.flow import steady_with_past
from vtoon.live import loop as loop_module
from vtoon.live import source
from vtoon.live.loop import DETAILS, FIRST_DETAIL, WATCHED, Detail, Live, Wish
from vtoon.live.sink import Recording, Stream, open_sink
from vtoon.live.source import Latest, Newest
from vtoon.painters.engine import Engine
from vtoon.pipeline.options import StylizeOptions
from vtoon.types import Frame, Rendered, TrackedFace, TrackedFrame
from vtoon.video import VideoReader, VideoWriter

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def stylizer(tiny_model):
    return vtoon.load(tiny_model, "cpu")


@pytest.fixture(scope="module")
def face(portrait):
    return FaceDetector().detect(portrait)[0].moved(0.5)


@pytest.fixture(autouse=True)
def tracker(monkeypatch, face):
    """The face is where it is: finding it takes a busy machine seconds."""

    class Tracker:
        """Where `here` says that nobody is there, nobody is."""

        here = staticmethod(lambda image: True)

        def track(self, frames):
            number = 0
            for frame in frames:
                there = self.here(frame.image)
                number += not there  # who comes back has another number
                yield TrackedFrame(frame, (TrackedFace(number, face),) if there else ())

    monkeypatch.setattr(loop_module, "FaceTracker", Tracker)
    return Tracker


@pytest.fixture(scope="module")
def clip(tmp_path_factory, portrait):
    """A second of a face; the gray square in the corner counts the frames."""
    path = tmp_path_factory.mktemp("live") / "clip.mp4"
    with VideoWriter(path, rate=25, crf=10, preset="ultrafast") as writer:
        for i in range(25):
            image = portrait[::2, ::2].copy()
            image[:16, :16] = 10 * i
            writer.write(Frame(image, i))
    return path


def number(image):
    return round(float(image[4:12, 4:12].mean()) / 10)


def live(stylizer, fps=15.0, **options):
    return Live(stylizer, Wish(StylizeOptions(**options)), fps)


class Kept:
    """A sink that remembers, and takes its time."""

    def __init__(self, seconds=0.0):
        self.images, self.seconds, self._slow = [], [], seconds

    def write(self, image, seconds):
        self.images.append(image)
        self.seconds.append(seconds)
        time.sleep(self._slow)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_source_that_is_too_fast_loses_frames_and_no_time(stylizer, clip):
    sink = Kept(0.1)  # 10 frames a second at most, of 25
    loop = live(stylizer, detail=64)
    with contextlib.closing(loop.run(str(clip), [sink])) as run:
        stats = next(figures for figures in run if figures.frames == 10)
    assert stats.dropped >= 10 and sink.seconds[-1] > 0.8  # it was played on and on
    assert sink.seconds == sorted(sink.seconds) and len({number(image) for image in sink.images}) > 3
    assert 0.1 <= stats.p50 <= stats.p95 and stats.fps < 10.5


@contextlib.contextmanager
def fed(loop, pictures):
    """Every picture is drawn before the next one comes: the run, and each frame's number and drawing."""
    mailbox = Latest()

    def drawn():
        mailbox.put(next(pictures))
        for _ in run:
            yield loop.last
            picture = next(pictures, None)
            if picture is None:
                return
            mailbox.put(picture)

    with contextlib.closing(loop.run(mailbox, [])) as run:
        yield drawn()


def test_who_leaves_and_comes_back_is_drawn_or_left_as_before(stylizer, tracker, portrait, monkeypatch):
    empty, there = np.zeros((160, 160, 3), np.uint8), np.ascontiguousarray(portrait[::2, ::2])
    monkeypatch.setattr(tracker, "here", staticmethod(lambda image: image.any()))
    loop, same = live(stylizer, detail=64, style="comic", steady=False), []
    with fed(loop, iter([there, empty, there, there, empty, there, there])) as drawn:
        for number, image in enumerate(drawn):
            same.append(bool((image == (there if number not in (1, 4) else empty)).all()))
            if number == 2:
                obey(loop, "skip 80,70")
            if number == 5:
                obey(loop, "skip 80,70")
    assert same == [False, True, False, True, True, True, False]  # left where he comes back, then drawn again
    for wrong, said in (("skip 1,1", "no face at 1,1"), ("skip me", "X,Y px")):
        with pytest.raises(VtoonError, match=said):
            obey(loop, wrong)


def test_memory_is_flat(stylizer, portrait):
    pictures = (np.ascontiguousarray(np.roll(portrait[::2, ::2], i % 7, 1)) for i in range(50))
    loop, used = live(stylizer, detail=64), {}
    ours = [tracemalloc.Filter(True, f"*/{place}/*") for place in ("vtoon/[!w]*", "numpy", "tests/live")]
    with fed(loop, pictures) as drawn:
        for number, _ in enumerate(drawn):
            if number == 10:
                tracemalloc.start()
            if number in (20, 45):
                gc.collect()
                traces = tracemalloc.take_snapshot().filter_traces(ours).traces  # a page of other tests may be served
                used[number] = sum(trace.size for trace in traces)
    tracemalloc.stop()
    assert abs(used[45] - used[20]) < 160 * 160 * 3  # not one picture more


def test_a_window_has_keys(stylizer, monkeypatch):
    import PIL.ImageTk

    class Tk:
        TclError, events, shown = RuntimeError, {}, []

        def __init__(self, *_, **how):
            self.bind, self.configure = self.events.__setitem__, lambda image: self.shown.append(image)
            self.protocol, self.title, self.pack = self.bind, str, lambda: None
            self.update = self.destroy = lambda: None

        Tk = Label = property(lambda self: Tk)

    monkeypatch.setitem(sys.modules, "tkinter", Tk())
    monkeypatch.setattr(PIL.ImageTk, "PhotoImage", lambda picture, master: picture.size)
    loop, said = live(stylizer), []
    with open_sink("window", 15, obey=said.append) as window:
        window.write(np.zeros((6, 8, 3), np.uint8), 0.0)
        for key in ("m", "Right", "x", "Escape"):
            Tk.events["<Key>"](type("Event", (), {"keysym": key}))
        Tk.events["<Button-1>"](type("Event", (), {"x": 3, "y": 4}))
        Tk.events["WM_DELETE_WINDOW"]()
    assert Tk.shown == [(8, 6)] and said == ["mirror", "style +1", "quit", "skip 3,4", "quit"]
    changed = []
    monkeypatch.setattr(loop, "change", lambda options: changed.append((options.style, options.style_degree)))
    obey(loop, "style -1"), obey(loop, "degree -0.1"), obey(loop, "degree +1")
    assert changed == [(len(stylizer.styles) - 1, None), (None, 0.9), (None, 1.0)]


@pytest.mark.parametrize(
    ("system", "name", "place", "options"),
    [
        ("Linux", "screen", ":7", {}),
        ("Linux", "screen:64x48+10,20", ":7+10,20", {"video_size": "64x48"}),
        ("Windows", "screen:64x48+1,2", "desktop", {"video_size": "64x48", "offset_x": "1", "offset_y": "2"}),
        ("Darwin", "screen", "Capture screen 0", {}),
        ("Darwin", "screen:64x48+1,2", None, {}),
    ],
)
def test_the_screen_is_a_source(monkeypatch, system, name, place, options):
    asked = []
    monkeypatch.setattr(source.platform, "system", lambda: system)
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(source.av, "open", lambda where, **how: asked.append((where, how["options"])))
    with pytest.raises(VtoonError, match="parts of the screen") if place is None else contextlib.nullcontext():
        source._open(name)
    assert asked == ([] if place is None else [(place, options)])


BITS, SQUARE = 12, 12  # of a stamp; px


def stamped(picture, number):
    """The number in black and white squares below a picture."""
    low = np.full((48, picture.shape[1], 3), 90, np.uint8)
    for bit in range(BITS):
        low[-16:, SQUARE * bit : SQUARE * (bit + 1)] = 255 * (number >> bit & 1)
    return np.vstack([picture, low])


def stamp(image):
    squares = image[-12:-4, : SQUARE * BITS].mean((0, 2)).reshape(BITS, SQUARE)[:, 3:-3].mean(1)
    return sum(int(level > 127) << bit for bit, level in enumerate(squares))


@contextlib.contextmanager
def camera(picture, fps=25):
    """A source that waits for nobody: (what `run` takes, when each frame came)."""
    mailbox, came, over = Latest(), [], threading.Event()

    def film():
        while not over.wait(1 / fps):
            came.append(time.monotonic())
            mailbox.put(stamped(picture, len(came) - 1))

    thread = threading.Thread(target=film)
    thread.start()
    yield mailbox, came
    over.set()
    thread.join()


@pytest.mark.parametrize(
    ("way", "options"), [("udp", {"buffer_size": "1000000"}), ("rtmp", {"listen": "1", "probesize": "4000"})]
)
def test_sent_over_the_network_every_drawing_arrives_once_in_order(stylizer, portrait, way, options):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if way == "udp" else socket.SOCK_STREAM) as free:
        free.bind(("127.0.0.1", 0))
        address = f"{way}://127.0.0.1:{free.getsockname()[1]}" + "/live/toon" * (way == "rtmp")
    arrived, sent, photo = [], Kept(), np.ascontiguousarray(portrait[::2, ::2])

    def listen():
        with contextlib.suppress(av.error.FFmpegError), av.open(address, options=options) as container:
            for picture in container.decode(video=0):
                arrived.append((picture.to_ndarray(format="rgb24"), time.monotonic()))

    threading.Thread(target=listen, daemon=True).start()
    time.sleep(0.5)  # who sends by RTMP must be listened to
    loop = live(stylizer, detail=64, steady=False)
    with camera(photo) as (mailbox, came), contextlib.closing(loop.run(mailbox, [Stream(address, 10), sent])) as run:
        stats = next(figures for figures in run if len(arrived) >= 6 or figures.frames == 200)
    told, seen = [stamp(image) for image in sent.images], [stamp(image) for image, _ in arrived[:6]]
    begun = told.index(seen[0])
    assert len(seen) == 6 and seen == told[begun : begun + 6] and stats.frames == len(told)
    assert stats.dropped >= told[-1] + 1 - len(told)  # what was left out was counted, and what came meanwhile
    assert all(time > came[number] for number, (_, time) in zip(seen, arrived, strict=False))
    drawing = sent.images[begun]
    assert np.abs(arrived[0][0].astype(int) - drawing).mean() < 6 and (drawing != stamped(photo, seen[0])).any()


def test_a_stream_of_flv_is_read_as_rtmp_carries_it(portrait):
    photo, over = np.ascontiguousarray(portrait[::2, ::2]), threading.Event()

    class Sent(io.RawIOBase):
        def __init__(self, peer):
            self.peer = peer

        def writable(self):
            return True

        def write(self, content):
            self.peer.sendall(content)
            return len(content)

    def serve(door):
        with contextlib.suppress(OSError), av.open(Sent(door.accept()[0]), "w", format="flv") as container:
            video = container.add_stream(
                "libx264", 25, options={"preset": "ultrafast", "tune": "zerolatency", "g": "25"}
            )
            video.height, video.width = stamped(photo, 0).shape[:2]
            for number in range(1 << BITS):
                container.mux(video.encode(av.VideoFrame.from_ndarray(stamped(photo, number), format="rgb24")))
                if over.wait(1 / 25):
                    return

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=serve, args=[door], daemon=True).start()
        with contextlib.closing(source.frames(f"tcp://127.0.0.1:{door.getsockname()[1]}")) as pictures:
            told = [stamp(next(pictures)) for _ in range(30)]
        over.set()
    assert told == list(range(told[0], told[0] + 30)) and told[0] < 25


def test_nothing_older_is_drawn_than_what_was_newest_when_the_one_before_had_gone(stylizer, portrait):
    newest = []  # when a frame had been sent

    class Slow(Kept):
        def write(self, image, seconds):
            super().write(image, seconds)
            newest.append(len(came) - 1)

    sink = Slow(0.06)
    with camera(np.ascontiguousarray(portrait[::2, ::2])) as (mailbox, came):
        with contextlib.closing(live(stylizer, detail=64, steady=False).run(mailbox, [sink])) as run:
            next(figures for figures in run if figures.frames == 8)
    drawn = [stamp(image) for image in sink.images]
    assert all(number >= known for number, known in zip(drawn[1:], newest, strict=False))
    assert len(came) - 1 > drawn[-1] - drawn[0] > 8  # and it was too slow for all of them


@pytest.mark.parametrize(("fps", "first", "coarser"), [(10_000, 80, True), (0.05, 112, False)])
def test_the_automatic_detail_changes_what_is_drawn_and_says_so(stylizer, portrait, monkeypatch, fps, first, coarser):
    said, sizes, plain = [], [], Engine.draw
    monkeypatch.setattr(Engine, "draw", lambda engine, jobs: sizes.append(jobs[0].eye_distance) or plain(engine, jobs))
    loop = Live(stylizer, Wish(StylizeOptions(steady=False)), fps, said.append)
    with fed(loop, iter([np.ascontiguousarray(portrait[::2, ::2])] * (WATCHED + 3))) as drawn:
        list(drawn)
    assert said[0] == f"detail is {first} px now, to hold {fps:g} frames/s"
    assert sizes[1] - sizes[-1] > 5 or not coarser  # the first is of the warming up
    held = sizes[-1]
    sizes.clear()
    with fed(loop, iter([np.ascontiguousarray(portrait[::2, ::2])] * 2)) as drawn:  # what was held is held on
        list(drawn)
    assert sizes[1] == pytest.approx(held, abs=1)


def test_a_recording_is_whole_and_changes_are_obeyed_while_it_runs(stylizer, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loop, sink = live(stylizer, detail=64), Kept()
    for stats in loop.run(str(clip), [Recording("toon.mp4", 15), sink], seconds=60):
        if stats.frames == 4:
            obey(loop, "style comic-sunset\n"), obey(loop, "degree 0.5"), obey(loop, "colours")
            assert obey(loop, "snapshot") is False
        if stats.frames == 6:
            obey(loop, "before"), obey(loop, "mirror")
        if stats.frames == 9:
            assert obey(loop, "quit")
            break
    assert loop.wish.options == StylizeOptions("comic-sunset", 0.5, True, detail=64)
    assert loop.wish.mirror and not loop.wish.drawn and len(list(tmp_path.glob("snapshot-*.png"))) == 1
    with VideoReader(tmp_path / "toon.mp4") as reader:
        assert len(list(reader)) == 9
    assert sink.images[-1][:16, -16:].std() < 3 < sink.images[-1][:16, :16].std()  # the square is on the other side
    for wrong, said in (("style nothing", "did you mean"), ("degree x", "between 0 and 1"), ("jump", "is not known")):
        with pytest.raises(VtoonError, match=said):
            obey(loop, wrong)


def test_detail_holds_the_rate():
    detail = Detail(10)

    def changes(seconds, frames):
        return [changed for _ in range(frames) if (changed := detail.after(seconds)) is not None]

    assert changes(0.2, WATCHED) == [DETAILS[FIRST_DETAIL - 1]]
    assert changes(0.2, 5 * WATCHED) == [DETAILS[0]]  # coarser there is not
    assert changes(0.001, 9 * WATCHED) == list(DETAILS[1:])
    detail = Detail(10, level=1)
    assert changes(0.08, 5 * WATCHED) == []  # it fits, and finer would not


def test_steadying_with_the_past_waits_for_nothing():
    rng = np.random.default_rng(0)
    scene = rng.integers(60, 200, (64, 64, 3), dtype=np.uint8)
    flicker = [scene.astype(int) + level for level in (8, -8, 8)]
    frames = [Rendered(scene, image.astype(np.uint8), None, i, 1) for i, image in enumerate(flicker)]
    given = []

    def coming():
        for frame in frames:
            given.append(frame)
            yield frame

    done = []
    for frame in steady_with_past(coming()):
        done.append(frame.image.astype(int))
        assert len(given) == len(done)
    assert (done[0] == flicker[0]).all() and np.abs(done[1] - scene).mean() < 3


@pytest.mark.parametrize("name", ["0", "rtsp://camera"])
def test_what_goes_away_is_looked_for_until_it_is_back(monkeypatch, name):
    opened = []

    class Container:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def decode(self, video):
            yield av.VideoFrame.from_ndarray(np.full((16, 16, 3), 20 * len(opened), np.uint8), format="rgb24")
            raise av.error.EOFError(1, "gone")

    def look(name):
        opened.append(name)
        if len(opened) % 3:  # it takes a while to be back
            return Container() if len(opened) == 1 else _absent()
        return Container()

    def _absent():
        raise av.error.FileNotFoundError(2, "no such device")

    monkeypatch.setattr(source, "_open", look)
    monkeypatch.setattr(source, "RETRY_SECONDS", 0.01)
    with Newest(name) as newest:
        frames = iter(newest)
        values = [int(next(frames).image.mean()) for _ in range(3)]
    assert len(opened) >= 6 and values == sorted(set(values))


@pytest.mark.parametrize("name", ["99", "tcp://127.0.0.1:1", "nothing.mp4"])
def test_a_source_that_is_not_there_is_one_line(name):
    with Newest(name) as newest, pytest.raises(VtoonError, match=r"cannot be opened|no such file"):
        next(iter(newest))


def test_targets_that_cannot_be_are_one_line(tmp_path, command, clip):
    with pytest.raises(VtoonError, match="begins with one of udp://"):
        open_sink("gopher://x", 15)
    with pytest.raises(VtoonError, match="no video container"):
        open_sink(str(tmp_path / "a.txt"), 15)
    assert "no target" in command("live", clip).line
    assert "fps is 0" in command("live", clip, "-o", tmp_path / "a.mp4", "--fps", 0).line


def test_the_command_records_and_says_how_it_went(command, clip, tiny_model, tmp_path):
    flags = ("--ckpt", tiny_model, "--device", "cpu", "--detail", 64, "--seconds", 0.5)
    ended = command("live", clip, "-o", tmp_path / "toon.mkv", *flags)
    assert ended.code == 0 and "frames/s, latency" in ended.out and (tmp_path / "toon.mkv").is_file()


def test_a_camera_has_the_quick_model_where_that_draws_the_style():
    from vtoon.cli.live import Live

    styles = (None, "toon3d", "toon3d-night", "comic", "pencil", "2")
    models = [Live("0", style=style)._built_in().checkpoint.path.stem for style in styles]
    assert models == ["live", "live", "live", "live", "default", "default"]
