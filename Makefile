# SPDX-License-Identifier: BSD-3-Clause
#
# The front door. Needs Python 3.11 or later, make and a network package index; everything else is set up in .venv
# (tools) and .build (kernels). `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Which compiler: empty for the best there is, else one of the names in toolchain.cmake. Each has its own build folder.
LUKOS_COMPILER ?=
BUILD ?= .build$(if $(LUKOS_COMPILER),/$(LUKOS_COMPILER))
JOBS ?= auto
ARGS ?=
export LUKOS_COMPILER

say = @printf '==> %s\n'

# The kernels: one source, four builds.
VARIANTS := va39 va48 release ubsan
OPTIONS_va39 := -DLUKOS_VA_BITS=39 -DCMAKE_BUILD_TYPE=Debug
OPTIONS_va48 := -DLUKOS_VA_BITS=48 -DCMAKE_BUILD_TYPE=Debug
OPTIONS_release := -DLUKOS_VA_BITS=39 -DCMAKE_BUILD_TYPE=Release
OPTIONS_ubsan := -DLUKOS_VA_BITS=39 -DCMAKE_BUILD_TYPE=Debug -DLUKOS_UBSAN=ON
KERNELS := $(VARIANTS:%=$(BUILD)/%/kernel.elf)
KERNEL := $(BUILD)/va39/kernel.elf
# The core for the build host, by a compiler of its own: see kernel_c/host/compiler.cmake.
HOST := .build/host
# libFuzzer's folder, and for how long `make fuzz` goes on: inputs, and seconds (0: no limit).
FUZZ := .build/fuzz
RUNS ?= 20000
TIME ?= 0
# The suite's own default is the default build: see [tool.pytest] in pyproject.toml.
KERNEL_ELFS := $(if $(filter-out .build,$(BUILD)),$(foreach v,va39 va48,--kernel-elf=$(BUILD)/$v/kernel.elf))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY: # keep stamps
.PHONY: help run debug test soak coverage cost determinism mutants lint format kernel host fuzz qemu bench toolchain clean distclean FORCE

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  ARGS="..." is handed on, as in: make test ARGS="-k walker -x"'
	@echo '  LUKOS_COMPILER=none-elf|elf|linux-gnu|zig chooses the compiler (default: the first of these that is found)'

run: $(KERNEL) ## build, boot and show the tour
	$(say) 'tour: $(BIN)/python -m harness run $(KERNEL)'
	@$(BIN)/python -m harness run $(ARGS) $(KERNEL)

debug: $(KERNEL) ## step through the kernel, forwards and backwards
	@$(BIN)/python -m harness debug $(ARGS) $(KERNEL)

test: $(KERNELS) host $(VENV)/.have-test ## build and run the test suite
	$(say) 'tests: $(BIN)/pytest -n $(JOBS)'
	@$(BIN)/python -m pytest -n $(JOBS) $(KERNEL_ELFS) $(ARGS)

# The README's tables are made from the summaries that these three write.
FIGURES := $(BIN)/python -m tests.readme.figures

coverage: $(KERNELS) host $(VENV)/.have-test ## which lines and branches of the kernel the suite executes
	$(say) 'coverage: $(BUILD)/coverage'
	@$(BIN)/python -m pytest -n $(JOBS) $(KERNEL_ELFS) --kernel-cov=html:$(BUILD)/coverage/index.html \
	    --kernel-cov=lcov:$(BUILD)/coverage/kernel.lcov --kernel-cov=cobertura:$(BUILD)/coverage/kernel.xml \
	    --kernel-cov=json:$(BUILD)/coverage/kernel.json $(if $(ARGS),$(ARGS),--kernel-cov=totals:tests/coverage/coverage.json)
	@$(FIGURES)

cost: $(KERNELS) host $(VENV)/.have-test ## how many times as long the suite takes under sanitizer and coverage
	@$(BIN)/python -m tests.coverage.cost $(if $(ARGS),-- $(ARGS),--write -- -n $(JOBS) --kernel-elf=$(KERNEL))
	@$(FIGURES)

STEPS ?= 100000
soak: $(KERNELS) $(VENV)/.have-test ## random calls against the model: STEPS=... at least, SEED=... to repeat a run
	@$(BIN)/python -m tests.uk.soak --elf $(KERNEL) --steps $(STEPS) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutants: $(KERNEL) $(VENV)/.have-test ## change one instruction at a time: do the tests notice? Goes on where it was interrupted
	@$(BIN)/python -m harness mutants --elf $(KERNEL) --folder $(BUILD)/mutants --reasons tests/coverage/survivors.toml \
	    --reasons tests/coverage/unreached.toml $(if $(ARGS),$(ARGS),--summary tests/coverage/mutants.json; \
	    status=$$?; $(FIGURES); exit $$status)

# About one test in so many of the whole suite, always the same ones, twice. ALL=1: every test. Left out are programs
# of their own, whose kernels nobody sees, and the build host.
SAMPLE := 16
STATES := $(BUILD)/states.json
SAME := $(BIN)/python -m pytest -q -n $(JOBS) $(KERNEL_ELFS) --hypothesis-seed=0 $(if $(ALL),,--kernel-sample=$(SAMPLE)) \
    $(addprefix --ignore=tests/,cli host plugin readme)
determinism: $(KERNELS) $(VENV)/.have-test ## two runs leave kernels in the same state: of a sample of the tests; ALL=1: of all
	@$(SAME) --kernel-states=$(STATES) $(ARGS)
	@$(SAME) --kernel-same-as=$(STATES) $(ARGS)

kernel: $(KERNELS) ## build the kernels: 39-bit, 48-bit, release, trapping on undefined behaviour

host: $(HOST)/server ## build the core for this machine, with a fake architecture, under sanitizers

fuzz: host ## random calls of that core, by libFuzzer where a clang has it: RUNS=20000 TIME=0 (seconds; 0: no limit)
	@if $(BIN)/cmake $(HOST_CMAKE) -B $(FUZZ) -DLUKOS_LIBFUZZER=ON >/dev/null 2>&1; then \
	    $(BIN)/ninja --quiet -C $(FUZZ) && mkdir -p $(FUZZ)/corpus && \
	    $(FUZZ)/fuzz -runs=$(RUNS) -max_total_time=$(TIME) -max_len=512 -len_control=0 -verbosity=0 -print_final_stats=1 \
	        -artifact_prefix=$(FUZZ)/ $(FUZZ)/corpus tests/host/corpus; \
	elif [ -n "$$LUKOS_REQUIRE_TOOLS" ]; then \
	    echo 'no clang with libFuzzer here (Debian: apt-get install clang libclang-rt-dev)' >&2; exit 1; \
	else \
	    echo '    no clang with libFuzzer here (Debian: apt-get install clang libclang-rt-dev): inputs that nothing guides'; \
	    $(HOST)/fuzz $(HOST)/last $(RUNS) tests/host/corpus/*; \
	fi

bench: $(KERNELS) ## instruction counts and time ratios
	@$(BIN)/python -m harness bench --elf $(BUILD)/release/kernel.elf $(ARGS)

qemu: $(KERNEL) ## the same ELF under qemu-system-aarch64
	@command -v qemu-system-aarch64 >/dev/null || \
	    { echo 'qemu-system-aarch64 is not installed (Debian: apt-get install qemu-system-arm).' >&2; exit 1; }
	qemu-system-aarch64 -M virt -cpu cortex-a72 -m 2G -nographic -kernel $(KERNEL) -append tour

C_FILES = $(shell find kernel_c tests -name '*.[ch]')

LINTS := lint-format lint-tidy lint-ruff lint-mypy lint-imports
.PHONY: $(LINTS)
lint: $(LINTS) ## clang-format, clang-tidy, ruff, mypy, import-linter (make -k lint: all of them, whatever fails)

$(LINTS): $(VENV)/.have-lint

lint-format:
	$(say) 'clang-format'
	@$(BIN)/clang-format --dry-run -Werror $(C_FILES)

TIDY = $(BIN)/python $(BIN)/run-clang-tidy.py -clang-tidy-binary $(BIN)/clang-tidy -quiet -hide-progress

lint-tidy: $(BUILD)/va39/build.ninja $(HOST)/build.ninja
	$(say) 'clang-tidy'
	@$(TIDY) -extra-arg=--target=aarch64-none-elf -p $(BUILD)/va39 'kernel_c/.*\.c$$'
	@$(TIDY) -p $(HOST) 'kernel_c/(host|arch/fake)/.*\.c$$'

lint-ruff: $(VENV)/.have-test
	$(say) 'ruff'
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet

lint-mypy: $(VENV)/.have-test
	$(say) 'mypy --strict'
	@$(BIN)/mypy

lint-imports: $(VENV)/.have-test
	$(say) 'import-linter'
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.have-lint ## put C and Python into the project's format
	@$(BIN)/clang-format -i $(C_FILES)
	@$(BIN)/ruff check --fix --quiet; $(BIN)/ruff format --quiet

toolchain: ## build aarch64-none-elf-gcc from Debian's sources (no root, about ten minutes)
	@kernel_c/tools/build-toolchain.sh
	@rm -rf .build

clean: ## remove what was built
	rm -rf .build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

distclean: clean ## remove the virtual environment and the project's own compiler too
	rm -rf $(VENV) .toolchain

# A folder is configured again when the rules change; ninja decides what to compile.
$(BUILD)/%/build.ninja: toolchain.cmake kernel_c/CMakeLists.txt kernel_c/cmake/flags.cmake $(VENV)/.have-build
	$(say) '$(@D): configure'
	@$(BIN)/cmake -S kernel_c -B $(@D) -G Ninja --log-level=NOTICE --toolchain $(CURDIR)/toolchain.cmake \
	    -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja $(OPTIONS_$*) >/dev/null
	@touch $@

HOST_CMAKE = -S kernel_c/host -G Ninja --log-level=NOTICE -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja

$(HOST)/build.ninja: kernel_c/host/CMakeLists.txt kernel_c/host/compiler.cmake $(VENV)/.have-build
	$(say) '$(@D): configure'
	@$(BIN)/cmake $(HOST_CMAKE) -B $(@D) >/dev/null
	@touch $@

$(HOST)/server: $(HOST)/build.ninja FORCE
	@$(BIN)/ninja --quiet -C $(@D)

$(KERNELS): %/kernel.elf: %/build.ninja FORCE
	@$(BIN)/ninja --quiet -C $(@D)

# Each extra of pyproject.toml is a stamp: what has been installed, and again when pyproject.toml changes.
$(VENV)/.have-%: pyproject.toml $(VENV)/pyvenv.cfg
	$(say) 'install into $(VENV): the project and its "$*" packages'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(VENV)/pyvenv.cfg:
	$(say) 'create the virtual environment $(VENV)'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo '$(PYTHON) is missing or older than Python 3.11. Name a newer one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo 'The venv module of $(PYTHON) does not work (Debian, Ubuntu: apt-get install python3-venv).' >&2; exit 1; }
