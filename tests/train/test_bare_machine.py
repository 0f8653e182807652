"""Generators are taught on machines without video, detectors and command lines: nothing of these is imported."""

import subprocess
import sys
from pathlib import Path

CODE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"av", "dlib", "kornia", "tyro", "tqdm", "psutil", "huggingface_hub", "lmdb"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import vtoon.train.augment, vtoon.train.dataset, vtoon.train.freeze, vtoon.train.trainer
import vtoon.train.recipes.finetune, vtoon.weights.snapshots
from vtoon.train.log import used_bytes
assert used_bytes() > 0
sys.argv = ["train_generator.py", "--help"]
import runpy
try:
    runpy.run_path("scripts/device/train_generator.py", run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0
"""


def test_nothing_but_the_bare_minimum_is_imported():
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", CODE], cwd=root, capture_output=True, text=True, env=None)
    assert ended.returncode == 0 and "--freeze_style" in ended.stdout, ended.stderr
