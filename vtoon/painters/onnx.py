"""A model with one style as an ONNX file, and such a file as a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from vtoon.errors import VtoonError, describe, needs_extra
from vtoon.models.bake import bake
from vtoon.painters.builtin import SMALL_BYTES, BuiltinPainter, sharpened
from vtoon.painters.engine import Job, Painter
from vtoon.painters.grading import Grading
from vtoon.painters.parsing import PARSING_WEIGHT, parse
from vtoon.painters.published import BYTES_PER_PIXEL, PUBLISHED_EYES, PublishedPainter
from vtoon.types import Style
from vtoon.weights.styles import StyleBank

FORMAT = "vtoon-onnx-1"
OPSET = 18
STRIDE = 8  # px: sides are multiples of this
LARGEST = 4096  # px
TRIED = ((96, 128), (160, 104))  # px: sizes at which a new file is compared with PyTorch; neither is the traced one
TOLERANCE = 1e-3  # of the mean absolute value


class BuiltinGraph(nn.Module):
    """The built-in kind of model with its style: regions and the distance between the eyes in, drawings out."""

    upscale, rounding, eyes = 1, True, None

    def __init__(self, painter: BuiltinPainter) -> None:
        super().__init__()
        self.model = painter.model
        self.register_buffer("look", torch.tensor([painter.look]), persistent=False)
        palette = None if painter.palette is None else torch.tensor([painter.palette])
        self.register_buffer("palette", palette, persistent=False)
        self.register_buffer("degree", torch.full((1, 1), painter.degree), persistent=False)
        self.grading = painter.grading  # of the scene, which it does not see
        self.sharpening = painter.degree  # is done before: by pixels of the frame, which the graph does not know

    def forward(self, x: Tensor, eye_distance: Tensor) -> Tensor:
        """x: [1, 3, H, W] in [-1, 1]; eye_distance: [1, 1] px."""
        return self.model(x, self.look, self.palette, self.degree, eye_distance)


class PublishedGraph(nn.Module):
    """A published VToonify, the style of one face worked into it, with its parsing network."""

    rounding, sharpening, grading = False, 0.0, None

    def __init__(self, painter: PublishedPainter, face: Job) -> None:
        super().__init__()
        style, _ = painter.style_of(face)
        # Not the painter's own networks: their form is this machine's, ONNX Runtime has its own.
        self.parser, self.upscale, self.eyes = painter.model.parser, painter.model.upscale, painter.model.eyes
        self.net = bake(painter.model.net, style, painter.degree)
        self.register_buffer("style", style, persistent=False)
        self.register_buffer("degree", painter.degree, persistent=False)

    def forward(self, x: Tensor, eye_distance: Tensor) -> Tensor:
        """x: [1, 3, H, W] in [-1, 1]; the eye distance makes no difference to it."""
        seen = torch.cat([x, parse(self.parser, x) * PARSING_WEIGHT], 1) if self.parser else x
        return self.net(seen, self.style, self.degree) + 0 * eye_distance.sum()


def export(painter: Painter, style: Style, target: Path, face: Job) -> float:
    """Write what `painter` draws as ONNX, for pictures of any size, and compare the file with PyTorch.

    `face`: whose style a published model shall have, where the style does not tell it all. Returns the largest
    difference over the mean absolute value. Raises VtoonError where ONNX is not installed or the two differ by more
    than 1e-3, OSError where the target cannot be written.
    """
    with needs_extra("export"):
        import onnxruntime
        import onnxscript  # noqa: F401
    graph = (PublishedGraph(painter, face) if isinstance(painter, PublishedPainter) else BuiltinGraph(painter)).eval()
    _write(graph, style, target)
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    worst = max(difference(graph, session, size) for size in TRIED)
    if worst > TOLERANCE:
        raise VtoonError(f"ONNX Runtime draws something else than PyTorch ({worst:.1e} off); nothing was written")
    return worst


def _write(graph: nn.Module, style: Style, path: Path) -> None:
    height, width = (STRIDE * Dim(name, min=2, max=LARGEST // STRIDE) for name in ("rows", "columns"))
    example = torch.zeros(1, 3, 64, 72), torch.full((1, 1), 96.0)
    with torch.enable_grad():  # inside no_grad the built-in model would bake the style of the example into the file
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["x", "eye_distance"],
            output_names=["drawing"],
            dynamic_shapes=({2: height, 3: width}, {}),
        )
    about = {"format": FORMAT, "style": style.name, "upscale": graph.upscale, "rounding": graph.rounding}
    about |= {"sharpening": graph.sharpening, "eyes": graph.eyes}
    about |= {"grading": graph.grading.about()} if graph.grading else {}
    program.model.metadata_props["vtoon"] = json.dumps(about)
    program.save(path, external_data=False)


@torch.no_grad()
def difference(graph: nn.Module, session: object, size: tuple[int, int]) -> float:
    """Largest absolute difference between PyTorch and ONNX Runtime over the mean absolute value."""
    x = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    eyes = torch.full((1, 1), 80.0)
    wanted = graph(x, eyes).numpy()
    (got,) = session.run(None, fed(session, x.numpy(), 80.0))
    return float(np.abs(got - wanted).max() / np.abs(wanted).mean())


def fed(session: object, x: np.ndarray, eye_distance: float) -> dict[str, np.ndarray]:
    """The inputs that the graph has kept: an unused one is dropped from it."""
    values = {"x": x, "eye_distance": np.full((1, 1), eye_distance, np.float32)}
    return {node.name: values[node.name] for node in session.get_inputs()}


def providers(device: torch.device) -> list:
    """What of ONNX Runtime computes on a device, the CPU last: it takes over what the others do not know."""
    own = {
        "cuda": [("CUDAExecutionProvider", {"device_id": device.index or 0})],
        "mps": ["CoreMLExecutionProvider"],
    }
    return [*own.get(device.type, []), "CPUExecutionProvider"]


class OnnxModel:
    """An exported file: a model with one style."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Raises VtoonError where ONNX Runtime is not installed or the file is not one that `vtoon export` wrote."""
        with needs_extra("export"):
            import onnxruntime
        self.path = Path(path)
        try:
            self.session = onnxruntime.InferenceSession(self.path, providers=providers(device))
            about = json.loads(self.session.get_modelmeta().custom_metadata_map["vtoon"])
            name, self.upscale, self.rounding = about["style"], int(about["upscale"]), bool(about["rounding"])
            self.sharpening, self.eyes = float(about["sharpening"]), float(about.get("eyes") or PUBLISHED_EYES)
            self.grading = Grading.read(about.get("grading"))
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise VtoonError(f"{path}: not a file of vtoon export ({describe(error)[:120]})") from None
        self.bank = StyleBank((Style(0, name, name, "own"),))


class OnnxPainter(Painter):
    """Regions to drawings by ONNX Runtime."""

    def __init__(self, model: OnnxModel) -> None:
        self.session, self.rounding, self.sharpening = model.session, model.rounding, model.sharpening
        self.grading = model.grading
        self.bytes_per_pixel = SMALL_BYTES if model.upscale == 1 else BYTES_PER_PIXEL

    def __call__(self, x: Tensor, jobs: Sequence[Job]) -> Tensor:
        x, drawn = sharpened(x, jobs, self.sharpening), []
        for own, job in zip(x.cpu().contiguous().numpy(), jobs, strict=True):
            drawn.append(self.session.run(None, fed(self.session, own[None], job.eye_distance))[0])
        return torch.from_numpy(np.concatenate(drawn))
