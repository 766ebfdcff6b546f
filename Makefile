# Two commands for everybody: `make demo` and `make test`. Each does its own set-up on a fresh machine.
.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench clean

PYTHON ?= python3
BIN := .venv/bin

help: ## What there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

.venv/installed: pyproject.toml constraints.txt scripts/venv
	@scripts/venv "$(PYTHON)" run

.venv/installed-dev: pyproject.toml constraints.txt scripts/venv
	@scripts/venv "$(PYTHON)" dev

demo: .venv/installed ## A compressed day on this machine: leases, reclaims, invoices
	@$(BIN)/sublet demo $(ARGS)

test: .venv/installed-dev ## All tests, on SQLite and on a real PostgreSQL
	@scripts/system-packages
	@scripts/run-tests $(ARGS)

lint: .venv/installed-dev ## Style, types, import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@scripts/check-types
	@$(BIN)/lint-imports

format: .venv/installed-dev ## Put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/installed-dev ## Durable grants a second, on this machine
	@$(BIN)/sublet bench grants --json

clean: ## Remove what the commands above made
	rm -rf .venv .venv-focus .venv-llm .node-clients demo-data .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
