"""The stages of a style, in order: which commands, on which files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vtoon.chain.stage import Stage, Work
from vtoon.chain.wish import FEW, MANY, Wish

VTOONIFY_BATCH, STUDENT_BATCH, DUAL_BATCH = 4, 8, 4
SNAPSHOTS = 8  # of a fine-tuning, to pick from
WARM_UP = 30.0  # kimg before a base from nothing meets its discriminator, and at most as many as after it
GENERATED = 200  # faces for the student, where there are no photos
KEPT_ROWS = 3  # of a latent, up to 8 px: pose and the head's outline stay the photo's with --blend strokes
LEAST_FACE = 64  # px: smaller squares are left out of the alignment


@dataclass(frozen=True)
class Facts:
    """What is known of the things at hand."""

    size: int  # px of the generator
    drawings: tuple[Path, ...]
    faces: int  # pictures of them; 0: none are given
    dual: bool = False  # whether DualStyleGAN's commands are here
    parsing: bool = False  # whether the parsing network's file is here
    encoder: bool = False  # whether a style encoder for this size is

    @property
    def rows(self) -> int:
        """Of a latent."""
        return 2 * (self.size.bit_length() - 1) - 2

    @property
    def road(self) -> str:
        """one: of single pictures; toonify: fine-tuned and blended; dual: DualStyleGAN."""
        if len(self.drawings) <= FEW:
            return "one"
        return "dual" if self.dual and len(self.drawings) >= MANY else "toonify"


@dataclass(frozen=True)
class Lengths:
    """How long each training is: kimg, steps."""

    base_kimg: float = 5000.0
    kimg: float = 100.0
    pretrain_iter: int = 7500  # of 4 pictures: as many as published
    iter: int = 2000
    student_iter: int = 4000
    one_iter: int = 300  # of a single picture: to find it, and to learn from it
    dual_iter: int = 1500  # of DualStyleGAN's last stage; of the one before it twice as many
    code_iter: int = 300  # of each artwork's code; a third of it to refine it


class Planner:
    """Puts the stages together. `run`: the folder of the style."""

    def __init__(self, wish: Wish, facts: Facts, lengths: Lengths, run: Path) -> None:
        self.wish, self.facts, self.lengths, self.run = wish, facts, lengths, run
        self.stages: list[Stage] = []

    def plan(self) -> list[Stage]:
        base = self._base()
        faces = self._student_faces(base)
        toon, weight = self._single(base) if self.facts.road == "one" else self._taught(base)
        dual = self._dual(base, toon, faces) if self.facts.road == "dual" else None
        vtoonify = self._vtoonify_d(base, *dual) if dual else self._vtoonify(base, toon, weight)
        student = self._student(vtoonify, faces)
        self._shown([base, toon], dual, [vtoonify, student], faces)
        return self.stages

    def _add(self, name: str, command: list[object], inputs: list[Path], outputs: list[Path], **more: object) -> None:
        words = tuple(str(word) for word in command)
        self.stages.append(Stage(name, words, tuple(inputs), tuple(outputs), **more))

    def _machine(self) -> list[object]:
        return ["--device", self.wish.device, "--seed", self.wish.seed]

    def _align(self, name: str, source: Path, count: int, out: Path | None = None) -> Path:
        out, size = out or self.run / name, self.facts.size
        command = ["align", source, out, "--size", size, "--faces", "largest", "--min_size", LEAST_FACE]
        self._add(name, command, [source], [out], work=(Work("face", count),))
        return out

    def _base(self) -> Path:
        wish, out = self.wish, self.run / "base"
        if wish.base:
            return Path(wish.base)
        faces = self._align("faces", wish.faces, self.facts.faces)
        command = ["finetune", "--data", faces, "--resume", "none", "--size", self.facts.size, "-o", out]
        command += ["--kimg", f"{self.lengths.base_kimg:g}", "--batch", wish.batch, "--mirror", "--metrics", "none"]
        command += ["--most_channels", wish.most_channels] if wish.most_channels else []
        command += ["--warm_up", f"{min(WARM_UP, self.lengths.base_kimg):g}"]
        final = out / snapshot(self.lengths.base_kimg, wish.batch)
        work = (Work("base", 1000 * self.lengths.base_kimg),)
        command += [*self._snaps(self.lengths.base_kimg, 2), *self._machine()]
        self._add("base", command, [faces], [final], clears=(out,), work=work)
        return final

    @staticmethod
    def _snaps(kimg: float, count: int) -> list[object]:
        """So many snapshots over a run, not nearer than their numbers tell."""
        return ["--tick", f"{max(1.0, kimg // count):g}", "--snap", 1]

    def _taught(self, base: Path) -> tuple[Path, list[float]]:
        """Fine-tuned on the drawings, the best snapshot picked, blended: the generator and its layers' share."""
        wish, run, kimg = self.wish, self.run, self.lengths.kimg
        drawings = self._align("drawings", wish.drawings, len(self.facts.drawings), self._art)
        out = run / "finetune"
        command = ["finetune", "--data", drawings, "--resume", base, "-o", out, "--kimg", f"{kimg:g}"]
        command += ["--batch", wish.batch, "--mirror", *self._snaps(kimg, SNAPSHOTS), "--metrics", "none"]
        final, work = out / snapshot(kimg, wish.batch), (Work("gan", 1000 * kimg),)
        command += self._machine()
        self._add("finetune", command, [drawings, base], [final], clears=(out,), work=work)
        picked = self._pick(out, base, [final, drawings, base], drawings)
        weight = shares(wish.blend, self.facts.rows)
        out = run / "toon.pt"
        command = ["blend", picked, base, "-o", out, "--layers", layers_text(weight), "--grid", "--overwrite"]
        self._add("blend", command, [picked, base], [out], clears=(run / "toon.png",), work=(Work("start", 1),))
        return picked, weight

    def _single(self, base: Path) -> tuple[Path, list[float]]:
        """A generator of each picture, one of them picked."""
        outs = []
        for i, drawing in enumerate(self.facts.drawings):
            outs.append(self.run / "one" / f"{i}.pt")
            command = ["one", drawing, base, "-o", outs[-1], "--overwrite", *self._machine()]
            steps = self.lengths.one_iter
            command += ["--steps", steps, "--project_steps", steps]
            clears, work = (outs[-1].with_suffix(".png"),), (Work("one", 2 * steps),)
            self._add(f"one{i}", command, [drawing, base], [outs[-1]], clears=clears, work=work)
        return self._pick(self.run / "one", base, [*outs, base], None), [1.0] * self.facts.rows

    def _pick(self, folder: Path, base: Path, inputs: list[Path], data: Path | None) -> Path:
        out = self.run / "picked.pt"
        command = ["style", "pick", folder, "--base", base, "-o", out, "--device", self.wish.device]
        command += ["--data", data] if data else []
        command += ["--take", self.wish.pick] if self.wish.pick is not None else []
        clears = tuple(out.with_suffix(end) for end in (".png", ".json"))
        self._add("pick", command, inputs, [out], clears=clears, work=(Work("start", 4),))
        return out

    def _vtoonify(self, base: Path, toon: Path, weight: list[float]) -> Path:
        """Distilled in two stages."""
        run, name, lengths = self.run, self.wish.name, self.lengths
        common = ["--stylegan_path", base, "--finetunegan_path", toon, "--name", name]
        common += ["--weight", *(f"{w:g}" for w in weight), "--batch", VTOONIFY_BATCH]
        common += self._companions() + self._machine()
        encoder = run / "pretrain" / "checkpoint" / name / "pretrain.pt"
        command = ["train_vtoonify_t", "--pretrain", "--root", run / "pretrain", "--iter", lengths.pretrain_iter]
        work = (Work("pretrain", VTOONIFY_BATCH * lengths.pretrain_iter),)
        self._add("pretrain", command + common, [base, toon], [encoder], clears=(run / "pretrain",), work=work)
        out = run / "vtoonify" / "checkpoint" / name / "vtoonify.pt"
        command = ["train_vtoonify_t", "--root", run / "vtoonify", "--encoder_path", encoder, "--iter", lengths.iter]
        work = (Work("vtoonify", VTOONIFY_BATCH * lengths.iter),)
        inputs = [base, toon, encoder]
        self._add("vtoonify", command + common, inputs, [out], clears=(run / "vtoonify",), work=work)
        self._single_file("special", out)
        return out

    def _single_file(self, stage: str, vtoonify: Path) -> None:
        """A VToonify with all that it needs, half as large."""
        single = self.run / f"{self.wish.name}-vtoonify.safetensors"
        self._add(stage, ["convert", vtoonify, single, "--half", "--overwrite"], [vtoonify], [single])

    @property
    def _art(self) -> Path:
        """The aligned drawings, where DualStyleGAN's commands look for them."""
        return self.run / "art" / self.wish.name / "images" / "train"

    def _dual(self, base: Path, toon: Path, faces: Path) -> tuple[Path, Path]:
        """DualStyleGAN in its four steps: the generator, and the refined codes of its styles."""
        name, root, lengths = self.wish.name, self.run / "dual", self.lengths
        if self.wish.faces and self.wish.base:
            faces = self._align("faces", faces, self.facts.faces)
        elif self.wish.faces:
            faces = self.run / "faces"
        folder, device, count = root / name, ["--device", self.wish.device], len(self.facts.drawings)
        data = ["--model_path", root, "--data_path", self.run / "art"]
        codes = [folder / f"{kind}_code.npy" for kind in ("exstyle", "instyle")]
        command = ["dual", "destylize", name, "--model_name", toon.resolve(), "--base", base, *data]
        command += ["--iter", lengths.code_iter, "--batch", DUAL_BATCH, *device]
        work = (Work("code", count * lengths.code_iter),)
        self._add("destylize", command, [toon, base, self._art], codes, work=work)
        pretrained, machine = root / "generator-pretrain.pt", [*device, "--seed", self.wish.seed]
        command = ["dual", "pretrain", faces, "--ckpt", base, "--model_path", root, "--iter", 2 * lengths.dual_iter]
        command += ["--batch", DUAL_BATCH, *machine]
        clears, work = (root / "generator-pretrain_state.pt",), (Work("dual", 2 * DUAL_BATCH * lengths.dual_iter),)
        self._add("dual_pretrain", command, [faces, base], [pretrained], clears=clears, work=work)
        final = folder / f"generator-{lengths.dual_iter:06d}.pt"
        command = ["dual", "finetune", name, "--ckpt", pretrained, *data, "--iter", lengths.dual_iter]
        command += ["--save_begin", lengths.dual_iter, "--batch", DUAL_BATCH, "--augment", *machine]
        clears, work = (folder / "generator_state.pt",), (Work("dual", DUAL_BATCH * lengths.dual_iter),)
        inputs = [pretrained, self._art, *codes]
        self._add("dual_finetune", command, inputs, [final], clears=clears, work=work)
        refined, steps = folder / "refined_exstyle_code.npy", max(1, lengths.code_iter // 3)
        command = ["dual", "refine", name, "--model_name", final.resolve(), *data, "--iter", steps]
        work = (Work("code", count * steps),)
        command += ["--batch", DUAL_BATCH, *device]
        self._add("refine", command, [final, self._art, *codes], [refined], work=work)
        return final, refined

    def _vtoonify_d(self, base: Path, dual: Path, codes: Path) -> Path:
        """Distilled in two stages, for all styles; and the second once more for one of them alone."""
        run, name, lengths = self.run, self.wish.name, self.lengths
        common = ["--stylegan_path", dual, "--exstyle_path", codes, "--name", name, "--batch", VTOONIFY_BATCH]
        common += self._companions() + self._machine()
        encoder = run / "pretrain" / "checkpoint" / name / "pretrain.pt"
        command = ["train_vtoonify_d", "--pretrain", "--root", run / "pretrain", "--iter", lengths.pretrain_iter]
        work = (Work("pretrain", VTOONIFY_BATCH * lengths.pretrain_iter),)
        self._add("pretrain", command + common, [dual, codes], [encoder], clears=(run / "pretrain",), work=work)
        style = self.wish.pick_style
        one = ["--fix_style", "--style_id", style, "--fix_degree", "--style_degree", "0.5"]
        made = {"vtoonify": ([], "vtoonify_s_d_c.pt"), "special": (one, f"vtoonify_s{style:03d}_d0.5_c.pt")}
        for stage, (flags, file) in made.items():
            root = run / stage
            out = root / "checkpoint" / name / file
            command = ["train_vtoonify_d", "--root", root, "--encoder_path", encoder, "--iter", lengths.iter, *flags]
            work = (Work("vtoonify", VTOONIFY_BATCH * lengths.iter),)
            self._add(stage, command + common, [dual, codes, encoder], [out], clears=(root,), work=work)
        self._single_file("single", out)
        return out

    def _companions(self) -> list[object]:
        """What VToonify's trainings have to do without."""
        parsing = [] if self.facts.parsing else ["--no_parsing"]
        return parsing + ([] if self.facts.encoder else ["--no_style_encoder"])

    def _student_faces(self, base: Path) -> Path:
        if self.wish.faces:
            return self.wish.faces
        out = self.run / "generated"
        command = ["generate", base, "--seeds", f"1-{GENERATED}", "-o", out, "--device", self.wish.device]
        self._add("generated", command, [base], [out], work=(Work("start", 4),))
        return out

    def _student(self, vtoonify: Path, faces: Path) -> Path:
        wish, folder = self.wish, self.run / "student"
        out = folder / f"{wish.name}.safetensors"
        command = ["distill", "--teacher", vtoonify, "--faces", faces, "--style", wish.name, "--preset", wish.preset]
        command += ["--iter", self.lengths.student_iter, "--batch", STUDENT_BATCH, "--most", wish.most, "-o", folder]
        command += ["--cache", self.run / "cache", *self._machine()]
        count = min(wish.most, self.facts.faces or GENERATED)
        work = Work("student", STUDENT_BATCH * self.lengths.student_iter), Work("painted", count)
        self._add("student", command, [vtoonify, faces], [out], clears=(folder,), work=work)
        return out

    def _shown(self, generators: list[Path], dual: tuple[Path, Path] | None, models: list[Path], faces: Path) -> None:
        """A clip by the last of the models, and a sheet of everything."""
        run, wish, clip, student = self.run, self.wish, self.wish.clip, models[-1]
        if clip is None:
            clip = run / "faces.mp4"
            self._add("faces_clip", ["style", "clip", faces, "-o", clip], [faces], [clip], work=(Work("start", 1),))
        out = run / "clip.mp4"
        command = ["stylize", clip, "-o", out, "--ckpt", student, "--overwrite", "--device", wish.device]
        self._add("clip", command, [clip, student], [out], work=(Work("start", 4),))
        out = run / "sheet.png"
        command = ["style", "sheet", "-o", out, "--drawings", wish.drawings, "--faces", faces, "--generators"]
        command += [*generators, *([run / "toon.pt"] if self.facts.road != "one" else [])]
        command += ["--dual", *dual] if dual else []
        command += ["--models", *models, "--device", wish.device]
        inputs = [wish.drawings, faces, *generators, *(dual or ()), *models]
        self._add("sheet", command, inputs, [out], work=(Work("start", 4),))


def snapshot(kimg: float, batch: int) -> str:
    """The last one that a fine-tuning writes."""
    return f"network-snapshot-{max(1, round(1000 * kimg / batch)) * batch // 1000:06d}.pt"


def shares(blend: str, rows: int) -> list[float]:
    """The fine-tuned generator's share of each layer. strokes: faces keep pose and outline, all else is drawn;
    structure: shapes are drawn, the surface is the photo's (Toonify); all: nothing is the photo's."""
    if blend == "structure":
        return [1.0] * (rows // 2) + [0.0] * (rows - rows // 2)
    return [0.0] * KEPT_ROWS + [1.0] * (rows - KEPT_ROWS) if blend == "strokes" else [1.0] * rows


def layers_text(weight: list[float]) -> str:
    """As `vtoon blend --layers` takes it: 0:0,3:1."""
    changes = [i for i in range(len(weight)) if i == 0 or weight[i] != weight[i - 1]]
    return ",".join(f"{i}:{weight[i]:g}" for i in changes)
