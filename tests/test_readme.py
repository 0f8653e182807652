"""What README says works: its commands parse and run, its Python runs, its files, targets and extras exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch
import tyro
import yaml
from PIL import Image
