# `make demo` and `make test` do all the set-up they need: on Debian and Ubuntu the system's
# libraries too, if this user may install them. A second run finds everything in place.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The versions that were tested, where they exist.
TESTED := $(shell $(PYTHON) -c 'import sys; print("--constraint constraints.txt" * (sys.version_info[:2] == (3, 11)))')

.PHONY: demo test lint bench lerobot franka-sim clean

demo: $(VENV)/installed-for-the-demo
	$(BIN)/hilserl demo

test: lint
	$(BIN)/python -m pytest -m ''

lint: $(VENV)/installed-for-tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: $(VENV)/installed-for-tests
	$(BIN)/python -m tests.benchmarks

# LeRobot in an environment of its own, 8 GB with the CUDA build of PyTorch that PyPI has for Linux:
# with it the tests have LeRobot read what we export.
lerobot: .venv-lerobot/installed

.venv-lerobot/installed:
	$(PYTHON) -m venv .venv-lerobot
	.venv-lerobot/bin/pip install --quiet --disable-pip-version-check 'lerobot>=0.4,<0.7'
	@touch $@

# Another simulated robot, whose reflexes are the real one's; it needs older packages than ours.
franka-sim: .venv-franka-sim/installed

.venv-franka-sim/installed:
	$(PYTHON) -m venv .venv-franka-sim
	.venv-franka-sim/bin/pip install --quiet --disable-pip-version-check franka-sim==1.1.7
	@touch $@

clean:
	rm -rf $(VENV) .venv-lerobot .venv-franka-sim build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/system
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-for-the-demo: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check $(TESTED) --editable '.[agent]'
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed | $(VENV)/system-for-tests
	$(BIN)/pip install --quiet --disable-pip-version-check $(TESTED) --editable '.[test]'
	@touch $@

# What must load or run, each with Debian's package for where it does not: virtual environments
# with pip, headless rendering, the camera driver's USB library.
$(VENV)/system: private MODULES := ensurepip:python3-venv
$(VENV)/system: private LIBRARIES := libEGL.so.1:libegl1 libGL.so.1:libgl1 libusb-1.0.so.0:libusb-1.0-0

# And for the tests: a display with keys, a SpaceMouse without hardware, a browser, what
# building pynput's evdev takes, and ROS 1.
$(VENV)/system-for-tests: private LIBRARIES := libhidapi-hidraw.so.0:libhidapi-hidraw0
$(VENV)/system-for-tests: private PROGRAMS := Xvfb:xvfb xauth:xauth xdotool:xdotool \
	umockdev-run:umockdev chromium:chromium cc:gcc
$(VENV)/system-for-tests: private HEADERS := Python.h:python3-dev
DIST := /usr/lib/python3/dist-packages
$(VENV)/system-for-tests: private FILES := /usr/bin/roscore:python3-roslaunch /usr/lib/genpy/genmsg_py.py:python3-genpy \
	/usr/share/std_msgs/msg:ros-std-msgs /usr/share/actionlib_msgs/msg:ros-actionlib-msgs \
	$(foreach name,rospy dynamic_reconfigure geometry_msgs sensor_msgs actionlib_msgs,$(DIST)/$(name):python3-$(subst _,-,$(name)))

# Once per environment; `make clean` has it looked for again.
$(VENV)/system $(VENV)/system-for-tests:
	@mkdir -p $(VENV)
	@[ "$$(uname)" = Linux ] || { touch $@; exit 0; }; \
	missing=; \
	for pair in $(MODULES); do \
		$(PYTHON) -c "import $${pair%%:*}" 2>/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	for pair in $(LIBRARIES); do \
		$(PYTHON) -c "import ctypes; ctypes.CDLL('$${pair%%:*}')" 2>/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	for pair in $(PROGRAMS); do \
		command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	for pair in $(HEADERS); do \
		[ -e "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_paths()["include"])')/$${pair%%:*}" ] \
		|| missing="$$missing $${pair##*:}"; \
	done; \
	for pair in $(FILES); do \
		[ -e "$${pair%%:*}" ] || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -z "$$missing" ]; then touch $@; exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	install="env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"; \
	if ! command -v apt-get >/dev/null; then \
		echo "Missing on this system: what Debian's packages$$missing contain. Going on without."; \
	elif [ "$$sudo" ] && ! { command -v sudo && { [ -t 0 ] || sudo -n true; }; } >/dev/null 2>&1; then \
		echo "Missing, and this user may not install it; as root run: $$install$$missing. Going on without."; \
	else \
		$$sudo apt-get update -qq || echo "The package lists could not be read anew."; \
		there=; lacking=; \
		for package in $$missing; do \
			if apt-cache show "$$package" >/dev/null 2>&1; then there="$$there $$package"; \
			else lacking="$$lacking $$package"; fi; \
		done; \
		if [ "$$there" ]; then \
			echo "Installing$$there"; \
			$$sudo $$install $$there || for package in $$there; do \
				$$sudo $$install "$$package" || lacking="$$lacking $$package"; \
			done; \
		fi; \
		[ -z "$$lacking" ] || echo "Not to be had on this system:$$lacking. Going on without."; \
	fi; \
	touch $@
