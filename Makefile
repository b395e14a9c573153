# make demo [BAG=path | DATA=folder] [MODEL=name]   set up and run the main job
# make test                                          set up and pass the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Everything runs on the wheels in .venv, whatever ROS installation the shell has sourced.
unexport PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH ROS_DISTRO

.PHONY: demo test results results-mobilefuse lint clean

demo: $(VENV)/.demo
	$(BIN)/python -m multimodal_fusion demo $(if $(BAG),--bag "$(BAG)") \
		$(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") $(ARGS)

test: $(VENV)/.test lint
	$(BIN)/python -m pytest $(ARGS)

# The table in docs/results, from DATA=path/to/ivif.
results: $(VENV)/.demo
	$(BIN)/python -m multimodal_fusion evaluate --data "$(DATA)/val" \
		--models mmdrfuse,mmdrfuse_plus --out build/results
	cp build/results/table.md docs/results/ivif_val.md

# The tables of MobileFuse, from DATA=path/to/ivif and the exported variants in VARIANTS=folder.
results-mobilefuse: $(VENV)/.demo
	$(BIN)/python -m multimodal_fusion.evaluate.blenders --data "$(DATA)/val" \
		--models "wavelet_max,ifcnn,$(VARIANTS)/mobilefuse-blending-only.onnx,$(VARIANTS)/mobilefuse-generative-only.onnx,mobilefuse" \
		--allow-unlisted --every 8 --out docs/results/mobilefuse.md

lint: $(VENV)/.test
	$(BIN)/ruff check .

$(VENV)/.demo: setup.py setup.cfg constraints.txt | $(BIN)/pip
	rm -rf build
	$(BIN)/pip install --quiet -c constraints.txt '.[ros]'
	touch $@

$(VENV)/.test: setup.py setup.cfg constraints.txt | $(BIN)/pip
	rm -rf build
	$(BIN)/pip install --quiet -c constraints.txt '.[ros,train,test]'
	touch $@ $(VENV)/.demo

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build install log demo *.egg-info
