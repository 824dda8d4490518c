# make demo    installs into .venv and runs the main job on a small set drawn and spoken on the spot
# make serve-demo does that, then serves its archive: open http://127.0.0.1:8000/ and speak
# make test    installs into .venv; lint, types, tests, and the wheel tried from outside the checkout
# make docs    builds the documentation site strictly into build/site
# make tutorial executes the notebook docs/tutorial.ipynb and stores its outputs; draws the picture of the README
# make bench   prints the ratios of docs/benchmarks.md
# make gpu     checks a GPU against the CPU and measures it; says so where there is no GPU
# make fuzz    damages every kind of file at 200 places for every command, and reads 800 odd files (minutes)
# make torture kills an extraction 300 times and looks at what it left (minutes)
# make figures FEATURES=features RUNS=runs   measures the tables of docs/results.md (half a day on two cores)
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
TYPING := build/typing/ivr

.PHONY: demo serve-demo test docs tutorial lint types wheel unit bench gpu fuzz torture figures clean

$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ivr needs Python 3.11 or newer; say make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[demo,docs,test]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/ivr demo --out demo

serve-demo: demo
	$(BIN)/ivr serve demo/tiles

test: $(STAMP) lint types unit wheel

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

tutorial: demo
	$(BIN)/python docs/run_tutorial.py docs/tutorial.ipynb
	$(BIN)/python docs/draw_example.py demo docs/images/example.png

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	mkdir -p $(TYPING)
	for package in cli features hashing pipeline; do ln -sfn ../../../$$package $(TYPING)/$$package; done
	for module in ivr/*.py; do ln -sf ../../../$$module $(TYPING)/; done
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --durations=10

# The wheel in an environment of its own, which borrows only the libraries; tried from elsewhere.
wheel: $(STAMP)
	rm -rf build/wheel build/lib build/bdist.*
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(BIN)/python -m venv --without-pip build/wheel/env
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(build/wheel/env/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/libraries.pth"
	$(BIN)/python -m pip --python build/wheel/env/bin/python install --quiet --no-deps build/wheel/*.whl
	cd / && '$(CURDIR)/build/wheel/env/bin/python' -c 'import ivr.cli; assert "/build/wheel/env/" in ivr.cli.__file__, ivr.cli.__file__'
	cd / && '$(CURDIR)/build/wheel/env/bin/ivr' demo --out '$(CURDIR)/build/wheel/demo' --classes 2 --images-per-class 10

bench: demo
	$(BIN)/python benchmarks/images.py demo
	$(BIN)/python benchmarks/training_wait.py demo/features
	$(BIN)/python benchmarks/voice_features.py
	$(BIN)/python benchmarks/ranking.py
	$(BIN)/python benchmarks/voice_features.py --processes 1 2
	$(BIN)/python benchmarks/ranking.py --items 1000000 --queries 1000 --rounds 3
	$(BIN)/python benchmarks/ranking.py --table linear
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/extraction_memory.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/audit.py
	$(BIN)/python benchmarks/archive.py --work build/archives
	$(BIN)/python benchmarks/serving.py --model demo/model --voice demo/set/voices/harbour/harbour_00_0.wav --requests 1280
	$(BIN)/python benchmarks/waiting_threads.py

gpu: $(STAMP)
	@if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; \
	then $(BIN)/ivr doctor --device cuda --speed --out build/gpu; \
	else $(BIN)/ivr doctor --device cpu; echo 'No CUDA device here: nothing was checked or measured on a GPU.'; fi

fuzz: $(STAMP)
	IVR_FUZZ_OFFSETS=200 $(BIN)/python -m pytest tests/test_fuzz.py --durations=10
	IVR_FUZZ_FILES=400 $(BIN)/python tests/test_odd_files.py

torture: $(STAMP)
	$(BIN)/python benchmarks/torture.py --kills 300

figures: $(STAMP)
	$(BIN)/ivr compare $(FEATURES) --out $(RUNS) --methods all --set dvan.training.epochs=20 --reference nested_codebook
	$(BIN)/ivr compare $(FEATURES) --out $(RUNS) --methods nested_codebook --voices all
	$(BIN)/ivr compare $(FEATURES) --out $(RUNS) --methods nested_codebook,csq,ortho_hash --bits 16,32,128
	$(BIN)/ivr compare $(FEATURES) --out $(RUNS) --preset generalisation --seeds 3
	$(BIN)/ivr compare $(FEATURES) --out $(RUNS) --preset code-health --seeds 2
	$(BIN)/ivr compare $(FEATURES) --out $(RUNS) --preset divh-choices --set training.epochs=60 --seeds 1
	$(BIN)/ivr compare $(FEATURES) --out $(RUNS) --preset divh-ablation

clean:
	rm -rf $(VENV) build demo
