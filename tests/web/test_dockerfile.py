"""The Dockerfile, read as hadolint reads it; and that what it copies and runs is there. No image is built here."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
import tyro

from vtoon.cli.serve import Serve

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
JOINED = re.sub(r"\\\n\s*", " ", "\n".join(line for line in TEXT.splitlines() if not line.startswith("#")))
STEPS = [tuple(line.split(None, 1)) for line in JOINED.splitlines() if line.strip()]


def all_of(word):
    return [rest for name, rest in STEPS if name == word]


def test_every_line_is_an_instruction():
    known = "ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL RUN SHELL STOPSIGNAL USER VOLUME WORKDIR"
    assert {name for name, _ in STEPS} <= set(known.split()) and STEPS[0][0] in ("ARG", "FROM")


def test_images_are_tagged_and_not_latest():  # DL3006, DL3007
    for image in all_of("FROM"):
        name = image.split(" AS ")[0]
        assert re.fullmatch(r"[\w./-]+:[\w.${}-]+", name) and "latest" not in name
    assert len(all_of("FROM")) == 2 and "python:${PYTHON}-" in TEXT


def test_it_does_not_run_as_root():  # DL3002
    last = max(i for i, (name, _) in enumerate(STEPS) if name == "FROM")
    users = [rest for name, rest in STEPS[last:] if name == "USER"]
    assert users and users[-1] not in ("root", "0")
    assert f"useradd --create-home --uid 10001 {users[-1]}" in TEXT


@pytest.mark.parametrize("bad", ["sudo", "apt-get upgrade", "ADD ", "MAINTAINER", "chmod 777", "curl | ", "wget "])
def test_habits_that_are_bad(bad):  # DL3004, DL3005, DL3020, DL4000, DL4001
    assert bad not in TEXT


def test_shells_fail_with_their_pipes_and_places_are_absolute():  # DL4006, DL3000
    assert json.loads(all_of("SHELL")[0]) == ["/bin/bash", "-o", "pipefail", "-c"]
    assert all(place.startswith("/") for place in all_of("WORKDIR"))
    assert not any(re.search(r"(^|&& )cd ", run) for run in all_of("RUN"))  # DL3003


def test_packages_have_versions_and_leave_no_cache():  # DL3013, DL3042
    assert "PIP_NO_CACHE_DIR=1" in all_of("ENV")[0]
    for run in all_of("RUN"):
        if "pip install" in run:
            names = [word for word in shlex.split(run.split("pip install")[1]) if not word.startswith(("-", "http"))]
            assert all(re.search(r"[=>]=|^\.", name) for name in names), names


def test_commands_are_lists_and_parse():  # DL3025
    words = json.loads(all_of("ENTRYPOINT")[0])
    assert words[:2] == ["vtoon", "serve"]
    asked = tyro.cli(Serve, args=words[2:], use_underscores=True, config=(tyro.conf.OmitArgPrefixes,))
    assert str(asked.port) in all_of("EXPOSE") and any(str(asked.folder).startswith(v) for v in all_of("VOLUME"))
    check = json.loads(re.search(r"CMD (\[.*)", all_of("HEALTHCHECK")[0])[1])
    compile(check[2], "HEALTHCHECK", "exec")
    assert f":{asked.port}/healthz" in check[2]


def test_secrets_are_not_in_it():
    assert not re.search(r"(TOKEN|PASSWORD|SECRET)\w*=", TEXT)


def test_what_is_copied_is_there_and_not_ignored():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    for copy in all_of("COPY"):
        if copy.startswith("--from"):
            continue
        for source in copy.split()[:-1]:
            assert (ROOT / source).exists(), source
            kept = False
            for rule in rules:
                if fnmatch(source, rule.lstrip("!")):
                    kept = rule.startswith("!")
            assert kept, source
    assert (ROOT / "checkpoints" / "default.safetensors").is_file()  # the model comes with it


def test_both_kinds_of_machine_can_be_asked_for():
    assert "ARG TORCH=cpu" in TEXT and "whl/${TORCH}" in TEXT and "--build-arg TORCH=cu" in TEXT
