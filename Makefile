# Every target sets up .venv by itself; a second run installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# As root on Debian or Ubuntu: their Chromium, for the page's tests. Elsewhere one that is there is taken, or none.
CHROMIUM := command -v chromium || command -v chromium-browser || command -v google-chrome
INSTALL := DEBIAN_FRONTEND=noninteractive timeout 240 apt-get install --yes --no-install-recommends chromium

.PHONY: browser demo test lint bench train-default lock clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 10) else "vtoon needs Python 3.10 or newer, got %d.%d: run make PYTHON=python3.11" % v[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --editable .
	touch $(READY)

data/demo.mp4: scripts/make_demo_clip.py | $(READY)
	$(BIN)/python scripts/make_demo_clip.py $@

demo: $(READY) data/demo.mp4  ## stylize the demo clip with the built-in model, print where it went
	$(BIN)/python style_transfer.py --video --content data/demo.mp4 --style_degree 1 --output_path output

test: $(READY) browser
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

browser:
	@{ $(CHROMIUM); } >/dev/null || { test "$$(id -u)" = 0 && { timeout 60 apt-get update; $(INSTALL); }; } >/dev/null 2>&1 \
		|| echo "no Chromium here: the page is not tested in a browser"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY) data/demo.mp4
	$(BIN)/vtoon bench

train-default: $(READY)  ## FACES=folder of portraits; see docs/model-card.md
	$(BIN)/vtoon train --faces $(FACES) --name default $(TRAIN_FLAGS)

lock: $(READY)  ## rewrite requirements.lock from pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check uv
	$(BIN)/uv pip compile --universal --python-version 3.10 --extra dev --no-annotate --no-header --quiet --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) output data/demo.mp4
