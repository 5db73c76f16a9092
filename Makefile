# The verbs of this repository; `make` lists them. `make demo` and `make test` start from a bare checkout.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
PYTEST := $(VENV)/bin/pytest
READY := $(VENV)/.ready
MEMBERS := libs/events libs/runtime libs/connectors services/ingest-email services/ingest-chat \
	services/ingest-social services/router services/notifier cli
FAULTS ?= full
# Who builds the images; where no registry of images can be reached: buildah and a base made by tools/base_image.sh (docs/containers.md).
IMAGE_BUILD ?= docker build
IMAGE_TAG ?= dev
IMAGES := ingest-email=services/ingest-email router=services/router notifier=services/notifier threadline=cli

.PHONY: help setup lint type test test-integration e2e faults faults-check bench demo up servers generate check \
	new-channel images test-containers

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## make .venv with everything installed; does nothing while the requirements are unchanged

$(READY): requirements/dev.txt requirements/members.txt $(MEMBERS:%=%/pyproject.toml) tools/make_venv.sh
	@bash tools/make_venv.sh $(VENV)
	@touch $@

lint: $(READY) ## check style, import direction, generated files, the layout of the tree and the Kubernetes manifests
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/lint-imports
	@$(PYTHON) -m threadline_events.schemas --check
	@$(PYTHON) tools/asyncapi.py --check
	@$(PYTHON) tools/check_tree.py
	@$(PYTHON) tools/check_deploy.py

type: $(READY) ## check types, member by member
	@failed=; for part in $(MEMBERS:%=%/src) tools; do \
		echo "mypy $$part"; $(VENV)/bin/mypy --strict "$$part" || failed=1; \
	done; [ -z "$$failed" ]

test: $(READY) ## run every test but the faults and the containers; missing real servers are skipped by name
	@$(PYTEST) -m "not faults and not containers" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-integration: $(READY) ## run the tests against real servers only
	@$(PYTEST) -m integration

e2e: $(READY) ## run the whole way in and out
	@$(PYTEST) tests/e2e

faults: $(READY) ## kill processes under load and look for anything lost or doubled; FAULTS=short for a quick run
	@THREADLINE_FAULTS=$(FAULTS) $(PYTEST) -m faults -s

faults-check: $(READY) ## seed eight faults and see that each turns the faults suite red
	@$(call existing,tests/faults/check.py,the check of the faults suite is not written yet)
	@$(PYTHON) tests/faults/check.py

bench: $(READY) ## measure each path against its floor and keep tables and plots in benchmarks/results/; PATHS names some of them
	@$(PYTHON) benchmarks/report.py $(PATHS)

demo: $(READY) ## show the whole way on this machine: a mail server, a customer, the page; works offline
	@$(VENV)/bin/threadline demo

up: $(READY) ## run every service in one process on SQLite in ./data
	@$(VENV)/bin/threadline up

generate: $(READY) ## write the generated files again
	@$(PYTHON) -m threadline_events.schemas
	@$(PYTHON) tools/asyncapi.py

check: lint type test ## what must pass before a commit is pushed

servers: $(READY) ## start a real Kafka and a MongoDB-wire server on loopback, and print their addresses
	@$(PYTHON) -m threadline_runtime.testing.servers

new-channel: ## (later) write the first files of a new channel
	@$(call later,make new-channel,the second channel)

images: ## build the container images; IMAGE_BUILD, IMAGE_BASE and IMAGE_TAG choose how
	@command -v $(firstword $(IMAGE_BUILD)) >/dev/null || { echo "make images: no $(firstword $(IMAGE_BUILD)) here: see docs/containers.md" >&2; exit 2; }
	@for image in $(IMAGES); do echo "== threadline/$${image%%=*}:$(IMAGE_TAG)"; \
		$(IMAGE_BUILD) $(IMAGE_BASE:%=--build-arg BASE=%) --build-arg VERSION=$(IMAGE_TAG) \
			-t threadline/$${image%%=*}:$(IMAGE_TAG) -f $${image#*=}/Dockerfile .; done

# Without a registry of images and without a builder's daemon; the certificates are those that this machine trusts when it fetches packages.
LOCAL_BASE := localhost/threadline-base:bookworm
LOCAL_BUILD := buildah build --quiet --isolation chroot --layers --volume /etc/ssl/certs:/etc/ssl/certs:ro
test-containers: $(READY) ## build the images on a base of Debian's packages and test them as containers; needs root, podman, buildah, debootstrap
	@podman image exists $(LOCAL_BASE) || bash tools/base_image.sh $(LOCAL_BASE)
	@$(MAKE) images IMAGE_BUILD="$(LOCAL_BUILD)" IMAGE_BASE=$(LOCAL_BASE) IMAGE_TAG=dev
	@$(PYTEST) -m containers -s

# A verb that cannot do its work says so in one line and fails; it never pretends.
later = echo "$(1): comes with $(2); see docs/roadmap.md" >&2; exit 2
existing = test -e $(1) || { echo "$(2): $(1) is missing; see docs/roadmap.md" >&2; exit 2; }
