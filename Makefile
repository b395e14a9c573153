# make demo [BAG=path | DATA=folder] [MODEL=name]   set up and run the main job
# make test                                          set up and pass the tests
# make test-all                                    the tests that take long, too
# make fuzz [MINUTES=10] [TARGETS=names]             try broken input on every reader
# make soak [MINUTES=120] [SEED=1]                   the node for hours, with faults
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Everything runs on the wheels in .venv, whatever ROS installation the shell has sourced.
unexport PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH ROS_DISTRO

.PHONY: demo test test-all fuzz soak results results-test results-mobilefuse detection lint clean

demo: $(VENV)/.demo
	$(BIN)/python -m multimodal_fusion demo $(if $(BAG),--bag "$(BAG)") \
		$(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") $(ARGS)

test: $(VENV)/.test lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

test-all: $(VENV)/.test lint
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# Each fuzzer for so many minutes; findings lie in build/fuzz.
fuzz: $(VENV)/.test
	$(BIN)/pip install --quiet -c constraints.txt '.[fuzz]'
	$(BIN)/python -m test.fuzz --minutes $(or $(MINUTES),10) $(TARGETS)

soak: $(VENV)/.test
	$(BIN)/python -m test.soak --minutes $(or $(MINUTES),120) --seed $(or $(SEED),1)

# The tables and the pictures in docs/results, from DATA=path/to/ivif. The pairs of ivif_test.txt are
# for the end: choose by `val`.
SHEET := msrs_00229D,msrs_00258D,msrs_00275D,msrs_00291D,msrs_00690N,msrs_00714N,msrs_01198N,$\
	msrs_01222N,msrs_01242N,road_01463,road_03813,road_07371,$\
	road_07371:430:90,msrs_00291D:450:230,road_03813:110:90,msrs_01242N:340:235
MINE := mmdrfuse,mmdrfuse_plus,mobilefuse,mmdrfuse_pyramid
results: $(VENV)/.demo
	$(BIN)/python -m multimodal_fusion evaluate --data "$(DATA)/val" --models $(MINE) --out build/results
	cp build/results/table.md docs/results/ivif_val.md
	$(BIN)/python -m multimodal_fusion evaluate --data "$(DATA)/val" --no-baselines --no-timing \
		--models max,laplacian,mmdrfuse_plus,mmdrfuse_pyramid --sheet "$(SHEET)" --out build/sheet
	cp build/sheet/sheet.jpg docs/results/ivif_val_sheet.jpg

results-test: $(VENV)/.test
	for list in ivif_test ivif_test_llvip; do \
		$(BIN)/python -m multimodal_fusion evaluate --data "$(DATA)/train" --models $(MINE),ifcnn \
			--stems config/train/$$list.txt --protocol contrast-rank --no-timing \
			--out build/$$list && cp build/$$list/table.md docs/results/$$list.md || exit 1; \
	done
	$(BIN)/python -m tools.results.front build/ivif_test/results.json --out docs/results/front.png
	for kind in mri_pet mri_spect mri_ct; do \
		$(BIN)/python -m multimodal_fusion evaluate --data "$(DATA)/../medical/$$kind" --models $(MINE),ifcnn \
			--protocol contrast-rank --no-timing --out build/$$kind || exit 1; \
	done
	cat build/mri_*/table.md > docs/results/medical.md

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
