# Every chore of the project; `make` alone lists them.

PORT ?= 8000
PROCESSES ?= 2
# Files of tests at once: more than processors, since many tests wait for servers.
JOBS ?= 3
REFRACT_DATA ?= var
export REFRACT_DATA

# The first Python that is new enough and can make a virtual environment.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# With the tests' settings, so that checking the code touches nobody's data.
TEST_MANAGE := DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE)
# Tests that drive Chromium are run apart: its event loop lets no other in.
AT_ONCE := -n $(JOBS) --dist loadfile
SCHEMA := static/refract/instrument.schema.json

.NOTPARALLEL:
.PHONY: help demo stack serve test test-all test-fast bench lint format messages schema lock clean needs

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: .venv/.runs ## start a study with demo models on 127.0.0.1:PORT, data in REFRACT_DATA
	@$(MANAGE) migrate --verbosity 0
	@$(MANAGE) collectstatic --noinput --verbosity 0
	@$(MANAGE) demo --base-url http://127.0.0.1:$(PORT)
	@PYTHONPATH=platform exec $(BIN)/python -m config.web --port $(PORT)

stack: .venv/.runs ## run it all here: Postgres, Redis, PROCESSES web servers on PORT, worker, beat
	@PYTHONPATH=platform exec $(BIN)/python -m config.stack --port $(PORT) --processes $(PROCESSES)

serve: .venv/.runs ## serve what is in REFRACT_DATA on 127.0.0.1:PORT; without demo studies
	@$(MANAGE) migrate --verbosity 0
	@$(MANAGE) collectstatic --noinput --verbosity 0
	@$(MANAGE) shell --verbosity 0 --command "from django.contrib.auth.models import User; \
		raise SystemExit(not User.objects.filter(is_superuser=True).exists())" \
		|| $(MANAGE) createsuperuser
	@PYTHONPATH=platform exec $(BIN)/python -m config.web --port $(PORT)

test: needs lint ## lint, type-check and run every test, embedded and on the full stack
	$(BIN)/python -m pytest $(AT_ONCE) -m "not browser"
	$(BIN)/python -m pytest $(AT_ONCE) -m "browser and not every_language"
	REFRACT_TEST_STACK=full $(BIN)/python -m pytest $(AT_ONCE) -m "not browser and not servers"

test-all: test ## the same, and participants' pages in every language, light and dark
	$(BIN)/python -m pytest -m every_language

test-fast: .venv/.tests ## run the tests that need no server and no browser
	$(BIN)/python -m pytest -m "not browser and not servers"

bench: .venv/.tests ## measure speed and memory; ONLY=survey for one group
	$(BIN)/python -m tests.bench $(ONLY)

lint: .venv/.tests ## what `make test` checks before it runs the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	PYTHONPATH=platform $(BIN)/lint-imports
	$(TEST_MANAGE) makemigrations --check --dry-run

format: .venv/.tests ## format the code, mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

messages: .venv/.tests ## bring the translations up to date with the code, and compile them
	$(BIN)/python -m tests.messages

schema: .venv/.tests ## write the JSON Schema of instruments anew, after a change of its keys
	$(TEST_MANAGE) load_instrument --schema > $(SCHEMA).new
	mv $(SCHEMA).new $(SCHEMA)

# Run it on the oldest Python we support (3.11.2, Debian 12's): a newer one may pick releases
# that the oldest can't install.
lock: $(BIN)/pip ## pin the newest versions that pyproject.toml allows
	$(PIP) install "pip-tools>=7.5"
	$(BIN)/pip-compile --upgrade --extra release --extra pdf --output-file requirements.txt \
		pyproject.toml
	$(BIN)/pip-compile --upgrade --extra test --constraint requirements.txt \
		--output-file requirements-dev.txt pyproject.toml

clean: ## remove the environment and the caches, never data
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

needs:
	@$(or $(PYTHON),python3) -m tests.needs

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "Refract needs Python 3.11 or newer with its venv module." \
		"On Debian 12: apt-get install python3-venv. To name one: make PYTHON=/path/to/python3" \
		>&2; exit 1; }
	@echo "Installing the locked packages: a minute or two, the first time."
	@$(PYTHON) -m venv .venv

.venv/.runs: requirements.txt | $(BIN)/pip
	@$(PIP) install -r requirements.txt
	@touch $@

.venv/.tests: requirements-dev.txt .venv/.runs
	@$(PIP) install -r requirements-dev.txt
	@touch $@
