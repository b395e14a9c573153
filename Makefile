# make demo [BAG=path | DATA=folder] [MODEL=name]   set up and run the main job
# make test                                          set up and pass the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Everything runs on the wheels in .venv, whatever ROS installation the shell has sourced.
unexport PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH ROS_DISTRO

.PHONY: demo test results detection lint clean

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

# The detection table, from DATA=path/to/data with ivif/ and weights/.
detection: $(VENV)/.test
	$(BIN)/python -m multimodal_fusion.evaluate.detection_table --data "$(DATA)/ivif/train" \
		--labels "$(DATA)/ivif/train/labels" --stems config/train/detector_split.txt \
		--partial llvip_=person --allow-unlisted \
		--detectors "$(DATA)/weights/yolox_nano.onnx",detector_person_car \
		--models average,max,mmdrfuse,mmdrfuse_plus --out docs/results/detection.md

lint: $(VENV)/.test
	$(BIN)/ruff check .

$(VENV)/.demo: setup.py setup.cfg constraints.txt | $(BIN)/pip
	rm -rf build
	$(BIN)/pip install --quiet -c constraints.txt '.[ros]'
	touch $@

$(VENV)/.test: setup.py setup.cfg constraints.txt | $(BIN)/pip
	rm -rf build
	$(BIN)/pip install --quiet -c constraints.txt '.[ros,train,test]'
	$(BIN)/python test/vision_msgs/build.py
	touch $@ $(VENV)/.demo

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build install log demo *.egg-info
