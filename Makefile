# Photograft: the everyday commands. `make` alone lists them.
#
#   PYTHON=…    the Python (3.11 or newer) that makes the environment; else the first one found
#   ARGS=…      more arguments for the command, e.g. make test ARGS='-k catalog'
#   EXTRAS=…    optional parts that `make env` installs: dev (all that tests need), or e.g. app,heic
#   WORKERS=…   test processes: 2, another number, auto, or 0 (all in one)

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?=
ARGS ?=
WORKERS ?= 2
EXTRAS ?= dev

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.photograft-installed
TFHUB_STAMP := $(VENV)/.photograft-tfhub-installed
DOCS_STAMP := $(VENV)/.photograft-docs-installed

.PHONY: help env tfhub demo test lint bench format docs constraints train train-demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

env: $(STAMP) ## create or update the environment (.venv); every target below does it when needed

tfhub: $(TFHUB_STAMP) ## add the extra [tfhub] to the environment: TensorFlow, 2 GB (its tests run then)

demo: $(STAMP) ## edit the sample photos with the embedded weights
	@$(PY) infer.py demo $(ARGS)

test: $(STAMP) ## run the tests
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: $(STAMP) ## check style (ruff check, ruff format) and types (mypy)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

bench: $(STAMP) ## measure time, memory and quality
	@$(PY) infer.py bench $(ARGS)

format: $(STAMP) ## rewrite the code in the project's format
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

# Nothing is fetched: the pages hold their fonts, scripts and pictures, the API's come from docstrings that are only read.
# PATH: signatures are formatted by ruff, which is called by its name.
docs: $(DOCS_STAMP) ## build the pages of docs/ into build/docs; a warning is an error (--quiet would hide it)
	@PATH="$(abspath $(VENV))/bin:$$PATH" NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict $(ARGS)
	@echo "build/docs/index.html (search needs a server: $(PY) -m http.server -d build/docs)"

train: $(STAMP) ## train: make train ARGS='fit --config configs/train/NAME.yaml'
	@$(PY) train.py $(or $(ARGS),--help)

train-demo: $(STAMP) ## a first training: draws pictures, trains GAN, E, A and B, edits a photo (minutes)
	@$(PY) train.py demo $(ARGS)

# Pins what .venv holds now: raise a version there first (.venv/bin/python -m pip install -U NAME), then run this.
constraints: $(DOCS_STAMP) $(TFHUB_STAMP) ## write the installed versions to constraints.txt
	@{ echo "# Exact versions of everything that the tests ran with. Regenerate with: make constraints"; \
	   $(PY) -m pip list --local --exclude-editable --format=freeze --disable-pip-version-check \
	     | sed -E -e 's/\+[A-Za-z0-9.]+$$//' -e '/^(photograft|pip|setuptools|wheel)==/d' | LC_ALL=C sort -f; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt
	@touch $(STAMP) $(DOCS_STAMP) $(TFHUB_STAMP)
	@echo "constraints.txt: $$(grep -c == constraints.txt) packages"

clean: ## remove caches and build products (not .venv, runs/ or out/)
	@rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .coverage constraints.txt.new *.egg-info
	@find . \( -name .git -o -name $(VENV) -o -name runs -o -name out \) -prune -o -type d -name __pycache__ -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(PY) -c "$$usable" 2>/dev/null; then \
	  set -- $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); \
	  found=; \
	  for python in "$$@"; do \
	    if "$$python" -c "$$usable" >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python 3.11 or newer with the venv module found (tried: $$*)." >&2; \
	    echo "Install one, or name one: make PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	  fi; \
	  echo "Creating $(VENV) with $$("$$found" -V) ($$found)"; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@echo "Installing the pinned packages into $(VENV) (several GB and some minutes the first time)"
	@$(PY) -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[$(EXTRAS)]' \
	  2> >(grep -v '^WARNING: Location .* is ignored' >&2) \
	  | awk '/(Downloading|Using cached) .*\([0-9.]+ MB\)/ { size = $$(NF - 1); sub(/\(/, "", size); \
	           if (size + 0 >= 20) { n = split($$2, part, "/"); print "  " part[n], $$(NF - 1), $$NF } } \
	         /^Installing collected/ { print "  unpacking " NF - 3 " packages" } { fflush() }'
	@touch $(STAMP)

$(TFHUB_STAMP): $(STAMP)
	@echo "Installing TensorFlow into $(VENV) (2 GB)"
	@$(PY) -m pip install --disable-pip-version-check --progress-bar off --quiet -c constraints.txt -e '.[tfhub]' \
	  2> >(grep -v '^WARNING: Location .* is ignored' >&2)
	@touch $(TFHUB_STAMP)

$(DOCS_STAMP): $(STAMP)
	@echo "Installing what builds the pages into $(VENV)"
	@$(PY) -m pip install --disable-pip-version-check --progress-bar off --quiet -c constraints.txt -e '.[docs]' \
	  2> >(grep -v '^WARNING: Location .* is ignored' >&2)
	@touch $(DOCS_STAMP)
