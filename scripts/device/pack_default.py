"""Pack the training set of the built-in model into one file for `train_default.py`.

    python scripts/device/pack_default.py --faces FOLDER FOLDER --pairs ink=PHOTOS,DRAWINGS --leave LIST --out data.npz

finds the face in every picture (dlib), cuts away what lies outside its training sheet, and keeps the rest as JPEG
beside its 68 landmarks; see `vtoon/train/packed.py` for the layout. Pictures named in the text file LIST are left out:
the portraits that a model is judged on. Beside the set, OUT.embedding.npz holds the first layers of the face embedding
in half precision, for the perceptual term.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from vtoon.image import IMAGE_SUFFIXES, load_image
from vtoon.models.face_embedding import FEATURE_LAYERS
from vtoon.train.packed import Pictures, encode, save_pack
from vtoon.train.paired import prepare_pairs
from vtoon.train.pairs import SHEET, SHEET_EYES, SheetMaker
from vtoon.types import Landmarks
from vtoon.weights.dlib_embedding import load_face_embedding

MARGIN = 0.1  # of the sheet's side, kept around it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, nargs="+", required=True, help="folders of portraits")
    parser.add_argument("--pairs", nargs="*", default=[], metavar="NAME=PHOTOS,DRAWINGS")
    parser.add_argument("--leave", type=Path, help="text file of pictures to leave out: folder/file, one a line")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where pairs are kept")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    left = set(args.leave.read_text().split()) if args.leave else set()
    files = sorted(p for f in args.faces for p in f.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    maker, faces = SheetMaker(args.cache), Pictures()
    for path in files:
        if f"{path.parent.name}/{path.name}" in left:
            continue
        image, _ = load_image(path)
        if landmarks := maker.find(image):
            cut, points = trimmed(image, landmarks)
            whole = cut.shape == image.shape and path.suffix.lower() in (".jpg", ".jpeg")
            faces.files.append(path.read_bytes() if whole else encode(cut))
            faces.points.append(points)
    sets = {"faces": faces}
    for name, _, folders in (text.partition("=") for text in args.pairs):
        drawn = prepare_pairs(*map(Path, folders.split(",")), args.cache)
        sets[name] = Pictures(
            [encode(photo) for photo in drawn.faces.photos],
            list(drawn.faces.landmarks),
            [encode(sheet, quality=95) for sheet in drawn.sheets],
        )
    save_pack(args.out, sets)
    state = load_face_embedding().state_dict()
    wanted = ("stem", *(f"blocks.{i}." for i in range(max(FEATURE_LAYERS))))
    np.savez(
        args.out.with_suffix(".embedding.npz"),
        **{k: v.numpy().astype(np.float16) for k, v in state.items() if k.startswith(wanted)},
    )
    print(f"{len(files)} pictures, " + ", ".join(f"{len(s)} of {name}" for name, s in sets.items()))
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


def trimmed(image: np.ndarray, landmarks: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """What the sheet shows of a picture and a margin, no sharper than the sheet; landmarks [68, 2] in it."""
    scale = min(1.0, 1.3 * SHEET_EYES / landmarks.eye_distance)
    reach = SHEET * (0.5 + MARGIN) * landmarks.eye_distance / SHEET_EYES
    x, y = landmarks.eye_middle
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    cut = image[top : int(y + reach * 1.1) + 1, left : int(x + reach) + 1]
    points = landmarks.points - (left, top)
    if scale < 1:
        cut = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        points = (points + 0.5) * scale - 0.5
    return np.ascontiguousarray(cut), points


if __name__ == "__main__":
    main()
