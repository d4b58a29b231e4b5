# The whole workflow; `make help` lists it.

VENV := .venv
PY := $(VENV)/bin/python
VVF := OMP_NUM_THREADS=1 $(VENV)/bin/vvf
# Another interpreter to install with: make setup PYTHON=/path/to/python3.12
export PYTHON
# More arguments for the command that a target ends in: make test ARGS='tests/vvf -x'
ARGS ?=

CODE := vvf vvf_models vvf_sim tests tools launch benchmarks setup.py
CODE := $(wildcard $(CODE))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-browser lint types format train-demo bench lock clean distclean
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup:  ## install everything into .venv; takes no time when it is there already
	@python3 tools/setup.py

demo: setup  ## ten simulated episodes of box assembly: run, record, relabel, report
	@$(VENV)/bin/vvf demo box_assembly $(ARGS)

test: setup  ## all tests
	@$(PY) -m pytest $(ARGS)

test-browser: setup  ## the report page in a real browser; wants a Chromium on the path
	@$(PY) -m pytest -m browser tests/vvf $(ARGS)

lint: setup  ## style and common mistakes
	@$(PY) -m ruff check --quiet $(CODE)
	@$(PY) -m ruff format --quiet --diff $(CODE)

types: setup  ## static types
	@$(PY) -m mypy --no-error-summary $(ARGS)

format: setup  ## put the code into shape, as `make lint` wants it
	@$(PY) -m ruff check --quiet --fix $(CODE)
	@$(PY) -m ruff format --quiet $(CODE)

# Both renderers in the data, so that the models work where no OpenGL is found, too.
BOXES := data/boxes
NOISY := data/boxes_noisy
DEMOS := data/demonstrations
MIXED := data/mixed
TRAINED := runs/train-demo

train-demo: setup  ## make the demos' data and train their checkpoints anew; resumes
	@$(VVF) collect box_assembly --expert demonstrator --episodes 2000 --seed 100000 \
	  --ray-share 0.2 --out $(BOXES)
	@$(VVF) collect box_assembly --expert noisy --episodes 1000 --seed 200000 --ray-share 0.2 \
	  --out $(NOISY)
	@$(VVF) train bc --data $(BOXES) --steps 12000 --seed 0 --resume \
	  --out $(TRAINED)/bc_box_assembly
	@$(VVF) train distributional --data $(BOXES) $(NOISY) --steps 4000 --seed 0 --resume \
	  --out $(TRAINED)/distributional_box_assembly
	@$(VVF) collect pick_place --expert demonstrator --episodes 2000 --seed 0 --ray-share 0.3 \
	  --out $(DEMOS)
	@$(VVF) collect pick_place --expert noisy --episodes 1500 --seed 100000 --ray-share 0.3 \
	  --out $(MIXED)
	@$(VVF) train bc --data $(DEMOS) --steps 9000 --seed 0 --resume --out $(TRAINED)/bc_pick_place
	@$(VVF) train icvf --data $(MIXED) --steps 3000 --seed 0 --resume \
	  --out $(TRAINED)/icvf_pick_place
	@cp -r $(TRAINED)/. checkpoints/

bench: setup  ## how fast and how complete camera images arrive on this machine
	@$(VENV)/bin/vvf bench transport $(ARGS)

lock:  ## resolve requirements/*.txt anew, for both Pythons
	@python3 tools/lock.py python3.11 python3.12

clean:  ## remove what builds and checks leave behind, but not .venv, data or runs
	@rm -rf build install log ros2_ws/build ros2_ws/install ros2_ws/log *.egg-info
	@rm -rf .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove .venv too
	@rm -rf $(VENV)
