# Everything that a newcomer or CI needs; only Python 3.11+, git and make have to be there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: test check chaos demo demo-play bench lock clean

test: .venv/ready
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Hundreds of kills and cuts over runs of real processes; about ten minutes. See tests/make_chaos.py.
chaos: .venv/ready
	PYTHONPATH=.:tests $(BIN)/python -m make_chaos

demo: .venv/ready
	$(BIN)/countersign demo

demo-play: .venv/ready
	$(BIN)/countersign demo --play

# Each prints its ratios and whether its bounds hold; a bound that does not hold does not keep the others from running.
bench: .venv/ready
	-$(BIN)/python -m bench.ack
	-$(BIN)/python -m bench.bot
	-$(BIN)/python -m bench.audit_append
	-$(BIN)/python -m bench.audit --events 1000000
	-$(BIN)/python -m bench.plan
	-$(BIN)/python -m bench.push
	-$(BIN)/python -m bench.readers
	-$(BIN)/python -m bench.backup
	-$(BIN)/python -m bench.lint
	-$(BIN)/python -m bench.schema_diff
	-$(BIN)/python -m bench.rehearsal

.venv/ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch .venv/ready

lock:
	uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 -o requirements.lock
	uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf .venv build *.egg-info
