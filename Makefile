# What there is to do: `make` lists it. Each verb is the same on every machine.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.setup-done
MEMBERS := libs/events libs/runtime libs/connectors services/ingest-email services/ingest-chat services/ingest-social services/router services/notifier cli

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## make .venv with everything installed (again only when requirements changed)

$(STAMP): requirements/dev.txt requirements/members.txt $(addsuffix /pyproject.toml,$(MEMBERS))
	@bash tools/make_venv.sh $(VENV)
	@touch $@
