# `make` lists the targets. Each one sets up what it needs: nothing has to be run before.
PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed
BOOK := _build/html/index.html
BOOK_SOURCES := _config.yml _toc.yml $(shell find book notebooks regtools -type f ! -path '*/.*' ! -path '*/__pycache__/*')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test unit nbval atlas atlas-quick fused portable digits lint lab notebooks sync benchmarks comparisons measured paper pdf lowest constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

book: $(BOOK) ## build the book
	@echo "The book is ready: $(abspath $(BOOK))"

# Always from scratch: an incremental build forgets the warnings of pages it does not read again.
$(BOOK): $(BOOK_SOURCES) $(INSTALLED)
	rm -rf _build/html _build/.doctrees
	$(VENV)/bin/jupyter-book build . -W -n --keep-going

test: lint ## run every check: lint, unit tests, notebooks, book, browser
	@$(MAKE) --no-print-directory unit
	@REGTOOLS_STATIC_PAGES=1 $(MAKE) --no-print-directory nbval
	@$(MAKE) --no-print-directory book
	$(RUN) pytest -n $(WORKERS) --dist worksteal -m browser
	@echo "make test: every step passed; a step that was skipped says so above."

unit: $(INSTALLED)
	$(RUN) pytest -n $(WORKERS) -m "not browser" $(UNIT)

nbval: $(INSTALLED)
	$(RUN) pytest -n $(WORKERS) --dist loadscope --nbval --nbval-current-env \
		--nbval-sanitize-with tests/nbval.cfg --nbval-cell-timeout 600 notebooks

fused: $(INSTALLED) ## test the kernels for GPUs, in Triton's interpreter; downloads 290 MB
	$(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[gpu]'
	TRITON_INTERPRET=1 $(RUN) pytest tests/images/test_fused.py

portable: $(INSTALLED) ## run unit tests and notebooks as other processors would
	$(RUN) tools.portable --workers $(WORKERS)

digits: $(INSTALLED) ## list the printed numbers that rounding changes; there should be none
	$(RUN) tools.digits --workers $(WORKERS)

lint: $(INSTALLED) ## check style, formatting and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) ty check

lab: $(INSTALLED) ## open JupyterLab on the chapters
	$(RUN) jupyterlab notebooks

notebooks: $(INSTALLED) ## run all chapters from their text halves, renew the outputs
	$(RUN) tools.notebooks execute

sync: $(INSTALLED) ## let the half of a chapter that was saved last overwrite the other
	$(RUN) tools.notebooks sync

# Speed and memory, by name; all other files there count what is found. Those of WRITING put what the book
# quotes into book/costs.json.
SPEED := derivatives interpolation recording devices registration superresolution throughput
WRITING := registration superresolution throughput

benchmarks: $(INSTALLED) ## measure what the book says about speed and memory, in twenty minutes; writes book/costs.json
	@$(MAKE) --no-print-directory measured FILES="$(SPEED:%=benchmarks/%.py)"

comparisons: $(INSTALLED) ## count what is found over many problems, beside other programs; takes hours
	@$(MAKE) --no-print-directory measured FILES="$(filter-out benchmarks/_% benchmarks/volume.py \
		$(SPEED:%=benchmarks/%.py),$(wildcard benchmarks/*.py))"

measured:
	$(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[peers]'
	set -e; for file in $(FILES); do echo "== $$file"; case " $(WRITING:%=benchmarks/%.py) " in \
		*" $$file "*) how=--write;; *) how=;; esac; $(VENV)/bin/python $$file $$how; done

atlas: $(INSTALLED) ## measure what is not yet in book/atlas, on many problems
	$(RUN) regtools.atlas --folder book/atlas --workers $(WORKERS)
	$(RUN) tools.atlas

atlas-quick: $(INSTALLED) ## run a few small problems of each study of the atlas
	rm -rf _build/atlas-quick
	$(RUN) regtools.atlas --folder _build/atlas-quick --workers $(WORKERS) --quick

paper: $(INSTALLED) ## run the experiments of the paper on its images, write book/ledger.json
	$(RUN) tools.paper

pdf: $(INSTALLED) ## build the book as PDF; needs latexmk and xelatex
	@command -v latexmk >/dev/null && command -v xelatex >/dev/null || \
		{ echo "latexmk and xelatex are needed: on Debian, install latexmk texlive-xetex \
		texlive-latex-extra texlive-fonts-extra fonts-freefont-otf fonts-dejavu-core"; exit 1; }
	$(VENV)/bin/jupyter-book build . --builder pdflatex --keep-going
	@echo "The book is ready: $(abspath _build/latex/regtools.pdf)"

# Outside CI: of torch, uv takes a build with the CUDA libraries, a download of about 3 GB. uv, as pip has no
# such option. What is installed beside the lowest versions is new and may warn about them: matplotlib then
# calls pyparsing by old names.
lowest: ## run the unit tests under the lowest versions that pyproject.toml allows
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "The lowest versions are for Python 3.11: make lowest PYTHON=python3.11"; exit 1; }
	rm -rf .venv-lowest
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest --resolution lowest-direct -e '.[book,test]'
	REGTOOLS_LOWEST=1 .venv-lowest/bin/python -m pytest -n $(WORKERS) -m "not browser" \
		-W ignore::pyparsing.warnings.PyparsingDeprecationWarning
	@.venv-lowest/bin/python -c 'import re, platform; from importlib.metadata import requires, version; \
		names = [re.match("[\w-]+", r)[0] for r in requires("regtools") if not re.search("extra == .(book|peers|test)", r)]; \
		print("make lowest: passed with Python", platform.python_version(), *(f"{n} {version(n)}" for n in names))'

# One thread: sums in one order give one result, and parallel tests do not fight for the cores, nor
# JupyterLab with its browser: threads that wait for a busy core made chapters several times slower.
test fused lab notebooks measured paper lowest: export OMP_NUM_THREADS := 1
test fused lab notebooks measured paper lowest: export NUMBA_NUM_THREADS := 1

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed and '$(PYTHON)' is not: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
		{ echo "'$(PYTHON)' has no venv: on Debian, install python3-venv"; exit 1; }
	@echo "Installing into $(VENV); the first time takes a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
	$(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[book,test]'
	@touch $@

constraints: ## resolve the versions in constraints.txt anew (torch keeps its own)
	rm -rf .venv-new
	$(PYTHON) -m venv .venv-new
	.venv-new/bin/python -m pip install --quiet setuptools $$(grep '^torch==' constraints.txt)
	.venv-new/bin/python -m pip install --quiet -e '.[book,gpu,peers,test]'
	grep '^#' constraints.txt > .venv-new/constraints.txt
	.venv-new/bin/python -m pip freeze --all --exclude pip --exclude wheel --exclude-editable \
		| sed 's/+cpu$$//' >> .venv-new/constraints.txt
	mv .venv-new/constraints.txt constraints.txt
	rm -rf .venv-new

clean: ## remove what was built, keep the environment
	rm -rf _build .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +
