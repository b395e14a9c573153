# make demo [BAG=path | DATA=folder] [MODEL=name]   set up and run the main job
# make test                                          set up and pass the tests
# make test-all                                    the tests that take long, too
# make fuzz [MINUTES=10] [TARGETS=names]             try broken input on every reader
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Everything runs on the wheels in .venv, whatever ROS installation the shell has sourced.
unexport PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH ROS_DISTRO

.PHONY: demo test test-all fuzz results results-mobilefuse detection lint clean

demo: $(VENV)/.demo
	$(BIN)/python -m multimodal_fusion demo $(if $(BAG),--bag "$(BAG)") \
		$(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") $(ARGS)

test: $(VENV)/.test lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

test-all: $(VENV)/.test lint
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# Each fuzzer for so many minutes; findings lie in build/fuzz.
MINUTES ?= 10
fuzz: $(VENV)/.test
	$(BIN)/pip install --quiet -c constraints.txt '.[fuzz]'
	$(BIN)/python -m test.fuzz --minutes $(MINUTES) $(TARGETS)

# The table and the pictures in docs/results, from DATA=path/to/ivif.
SHEET := msrs_00229D,msrs_00258D,msrs_00275D,msrs_00291D,msrs_00690N,msrs_00714N,msrs_01198N,$\
	msrs_01222N,msrs_01242N,road_01463,road_03813,road_07371
results: $(VENV)/.demo
	$(BIN)/python -m multimodal_fusion evaluate --data "$(DATA)/val" \
		--models mmdrfuse,mmdrfuse_plus,mobilefuse --out build/results
	cp build/results/table.md docs/results/ivif_val.md
	$(BIN)/python -m multimodal_fusion evaluate --data "$(DATA)/val" --no-baselines --no-timing \
		--models max,laplacian,mmdrfuse,mmdrfuse_plus --sheet $(SHEET) --out build/sheet
	cp build/sheet/sheet.jpg docs/results/ivif_val_sheet.jpg

# The tables of MobileFuse, from DATA=path/to/ivif and the exported variants in VARIANTS=folder.
results-mobilefuse: $(VENV)/.demo
	$(BIN)/python -m tools.results.mobilefuse --data "$(DATA)/val" \
		--models "wavelet_max,ifcnn,$(VARIANTS)/mobilefuse-blending-only.onnx,$(VARIANTS)/mobilefuse-generative-only.onnx,mobilefuse" \
		--allow-unlisted --every 8 --out docs/results/mobilefuse.md

# The detection table, from DATA=path/to/data with ivif/ and weights/.
detection: $(VENV)/.test
	$(BIN)/python -m tools.results.detection --data "$(DATA)/ivif/train" \
		--labels "$(DATA)/ivif/train/labels" --stems config/train/detector_split.txt \
		--partial llvip_=person --allow-unlisted \
		--detectors "$(DATA)/weights/yolox_nano.onnx",detector_person_car,detector_person_car@640 \
		--models average,max,mmdrfuse,mmdrfuse_plus,mobilefuse --out docs/results/detection.md

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

KERNEL := $(wildcard multimodal_fusion/fusers/kernel/*.[ch])

$(VENV)/.demo: setup.py setup.cfg constraints.txt $(KERNEL) | $(BIN)/pip
	rm -rf build
	$(BIN)/pip install --quiet -c constraints.txt '.[ros]'
	$(IN_PLACE)
	touch $@

$(VENV)/.test: setup.py setup.cfg constraints.txt $(KERNEL) | $(BIN)/pip
	rm -rf build
	$(BIN)/pip install --quiet -c constraints.txt '.[ros,train,test]'
	$(IN_PLACE)
	$(BIN)/python test/helpers/vision_msgs/build.py
	touch $@ $(VENV)/.demo

# Python run here takes the package of the checkout, so the kernel has to lie there too.
IN_PLACE = $(BIN)/pip install --quiet setuptools && $(BIN)/python setup.py --quiet build_ext --inplace

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build install log demo *.egg-info multimodal_fusion/fusers/kernel/*.so
