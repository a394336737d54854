# make demo    the walkthrough for real, on a local cluster of its own        make lint    style, types, imports
# make test    every test; figures at the end and in reports/                 make unit    the tests that take seconds
# make cluster / make cluster-down    the local cluster alone                 make clean   what this file made here
# make generate   crds/ and webhooks/ from their sources          make bench, make agent-bench, make bench-heterogeneous   what our programs take
# make unmanaged   what happens to objects that are not ours, to restores and migrations, in the long form
# make metrics-test   alerts, and the real programs scraped by a real Prometheus, into reports/metrics-test.json
# make chart-test   the chart's values and objects, a release's files, and helm test's program, into reports/chart-test.json
# make pictures   the same, and pictures of the dashboards into docs/pictures
# make release VERSION=1.2.0   chart, install.yaml, CRDs, schemas, wheel and SBOM of the last commit, into dist/1.2.0
# make tenants   attacks of one tenant on another and on the programs, in the long form
# make field-long   restarts under requests, slow loads and models that end the server, in the long form
# make tools   the programs that tests need        make format   style, where a program can correct it
# make contract, stores, servers, router, walkthrough, faults-short, bench-short     parts of make test
# make test T=path    the tests of one file or folder     make golden   the expected plans of tests/data/plan, anew
# make run     operator and webhook in the foreground, against the cluster of KUBECONFIG; Ctrl-C ends both
# make faults   every fault of docs/faults.md, each as long as its row says (make test has the short forms)
# Unit, contract and fault tests run in WORKERS processes (default 2).
# Choose the cluster: CLUSTER=local (default), CLUSTER=kind (needs Docker), or KUBECONFIG=... for any other.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help demo run test unit golden contract faults faults-short stores servers router walkthrough unmanaged tenants field-long lint format clean cluster cluster-down tools generate bench bench-short bench-heterogeneous agent-bench prometheus metrics-test pictures chart-test release

CLUSTER ?= local
PORT ?= 22000
WORKERS ?= 2
PYTHON ?= python3
BIN := .venv/bin
LOCAL := PYTHONPATH=deploy/local $(BIN)/python -m localcluster

help: ## say what there is
	@sed -n '/^[^#]/q; s/^# //p' Makefile

.venv/.installed: requirements/dev.txt requirements/build.txt pyproject.toml
	@echo "==> installing the Python packages into .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "manyserve needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@has_pip() { $(PYTHON) -c 'import ensurepip' 2>/dev/null; }
	@apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq "$$@" >/dev/null; }
	@if ! has_pip && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	@	echo "    $(PYTHON) has no ensurepip: installing the package python3-venv"
	@	apt install -y python3-venv || { apt update && apt install -y python3-venv; } || true
	@fi
	@has_pip || { echo "$(PYTHON) has no ensurepip: install it (on Debian, as root: apt-get install python3-venv)" >&2; exit 2; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@; echo "    took $$SECONDS s"

demo: .venv/.installed
	@CLUSTER=$(CLUSTER) PORT=$(PORT) deploy/demo.sh

run: .venv/.installed ## operator and webhook against the cluster of KUBECONFIG, until Ctrl-C
	@exec env PYTHONPATH=src $(BIN)/python -m scripts.run

ifdef T
test: .venv/.installed
	@PORT=$(PORT) PYTHONPATH=src:deploy/local $(BIN)/python -m scripts.run_tests $(T)
else
test: lint unit contract faults-short bench-short stores servers router walkthrough
endif

lint: .venv/.installed
	@echo "==> lint"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit -q -c pyproject.toml -r src
	@echo "    took $$SECONDS s"

format: .venv/.installed
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

unit: .venv/.installed
	@echo "==> unit tests"
	@$(BIN)/pytest -q -n $(WORKERS) -m "not contract and not faults and not cluster and not stores and not servers and not router"
	@echo "    took $$SECONDS s"

tools: .venv/.installed
	@$(LOCAL) tools

prometheus:
	@apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq "$$@" >/dev/null; }
	@if ! command -v promtool >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	@	echo "    there is no Prometheus: installing the package prometheus"
	@	apt install -y --no-install-recommends prometheus || { apt update && apt install -y --no-install-recommends prometheus; } || true
	@fi
	@command -v promtool >/dev/null || { echo "the tests of alerts need Prometheus: install it (on Debian, as root: apt-get install prometheus)" >&2; exit 2; }

contract: tools prometheus
	@echo "==> contract tests, against a real API server"
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m contract
	@echo "    took $$SECONDS s"

faults: tools ## every fault as long as its row says; the figures into reports/faults.json and docs/faults.md
	@echo "==> faults, between the programs and a real API server"
	@export FAULTS_SEED="$${FAULTS_SEED:-$$RANDOM}" # all workers collect the same pairs
	@FAULTS=long $(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m faults --timeout 3600
	@FAULTS=long PYTHONPATH=src:deploy/local $(BIN)/python -m tests.faults.document
	@echo "    took $$SECONDS s"

faults-short: tools
	@echo "==> faults, each for a few seconds, between the programs and a real API server"
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m faults
	@echo "    took $$SECONDS s"

stores: tools
	@echo "==> tests against emulators of the object stores"
	@apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq "$$@" >/dev/null; }
	@if ! command -v npm >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	@	echo "    there is no npm: installing the packages nodejs and npm"
	@	apt install -y nodejs npm || { apt update && apt install -y nodejs npm; } || true
	@fi
	@command -v npm >/dev/null || { echo "Azurite needs Node and npm: install them (on Debian, as root: apt-get install nodejs npm)" >&2; exit 2; }
	@$(BIN)/pytest -q -m stores
	@echo "    took $$SECONDS s"

servers: .venv/.installed
	@echo "==> tests against real model servers: MLServer and KServe's own"
	@$(BIN)/pytest -q -m servers
	@echo "    took $$SECONDS s"

router: .venv/.installed
	@echo "==> tests of the router, with a real Envoy"
	@$(BIN)/pytest -q -m router
	@echo "    took $$SECONDS s"

walkthrough: tools
	@echo "==> the walkthrough, on a real cluster"
	@PORT=$(PORT) $(BIN)/pytest -q -m cluster
	@echo "    took $$SECONDS s"

cluster: .venv/.installed
	@if [ "$(CLUSTER)" = kind ]; then deploy/local/kind.sh up; else $(LOCAL) up --port $(PORT); fi

cluster-down: .venv/.installed
	@if [ "$(CLUSTER)" = kind ]; then deploy/local/kind.sh down; else $(LOCAL) down --port $(PORT); fi

generate: .venv/.installed ## crds/, webhooks/, the chart's copies and docs/agent-status.schema.json, from their sources
	@$(BIN)/manyserve crds --group serving.kserve.io --dir crds
	@$(BIN)/manyserve crds --group serving.manyserve.io --dir crds/serving.manyserve.io
	@PYTHONPATH=src $(BIN)/python -m webhooks.render

golden: .venv/.installed ## the expected plans of tests/data/plan, from the inputs beside them; review the diff
	@PYTHONPATH=src:deploy/local $(BIN)/python -m tests.plan.golden

bench: tools ## what operator and webhook take for up to 10,000 models, into reports/ and docs/benchmarks.md
	@echo "==> what operator and webhook take, beside the floor; half an hour"
	@PYTHONPATH=src:deploy/local $(BIN)/python -m bench.control
	@PYTHONPATH=src:deploy/local $(BIN)/python -m bench.webhook
	@PYTHONPATH=src:deploy/local $(BIN)/python -m bench.document
	@echo "    took $$SECONDS s"

bench-short: tools
	@echo "==> what operator and webhook take for some hundred models; what is counted must meet its goal"
	@PYTHONPATH=src:deploy/local $(BIN)/python -m bench.control --short
	@PYTHONPATH=src:deploy/local $(BIN)/python -m bench.webhook --models 300 --seconds 0.5 --rounds 1
	@echo "    took $$SECONDS s"

agent-bench: tools ## what the agent takes and holds, into reports/agent-bench.json
	@PORT=$(PORT) $(BIN)/pytest -q -m cluster tests/walkthrough/test_swaps.py tests/walkthrough/test_figures.py
	@PYTHONPATH=deploy/local $(BIN)/python -m bench.agent

bench-heterogeneous: .venv/.installed ## the router's latency beside a plain Envoy, and one more model, into reports/heterogeneous.json
	@echo "==> what the router takes for 1,000 models, beside a plain Envoy; some ten seconds"
	@PYTHONPATH=src:deploy/local $(BIN)/python -m bench.router

unmanaged: tools ## unmanaged objects, restores, the poisoned list and the migration, into reports/unmanaged.json
	@echo "==> objects that are not ours, restores, a poisoned list, and a migration, in the long form"
	@rm -f reports/unmanaged.json
	@UNMANAGED=long $(BIN)/pytest -q -m contract --timeout 900 tests/contract/test_unmanaged_objects.py tests/contract/test_restore_export.py tests/contract/test_restore_velero.py tests/contract/test_host_deletion.py tests/contract/test_poisoned_config.py
	@PORT=$(PORT) $(BIN)/pytest -q -m cluster tests/walkthrough/test_stored_form.py tests/walkthrough/test_own_group.py tests/walkthrough/test_migration.py
	@echo "    took $$SECONDS s"

metrics-test: tools prometheus ## alerts and dashboards with a real Prometheus, into reports/metrics-test.json
	@echo "==> metrics, alerts and dashboards, with a real Prometheus, in the long form"
	@METRICS=$${METRICS:-long} $(BIN)/pytest -q --timeout 900 tests/metrics
	@echo "    took $$SECONDS s"

chart-test: tools ## the chart's values and objects, and the program of helm test, into reports/chart-test.json
	@echo "==> the chart with many values, and manyserve check against a real API server"
	@rm -f reports/chart-test.json
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile tests/chart tests/check tests/release tests/contract/test_check.py tests/contract/test_install.py
	@echo "    took $$SECONDS s"

release: .venv/.installed ## files of a release with the same hashes each time; IMAGE=registry/name@sha256:... is its image
	@PYTHONPATH=src $(BIN)/python -m scripts.release "$(VERSION)" "$(IMAGE)"

pictures: ## docs/pictures, from the data that metrics-test scrapes
	@METRICS=pictures $(MAKE) metrics-test

tenants: tools ## attacks of one tenant on another and on the programs, into reports/tenants.json
	@echo "==> attacks of one tenant on another and on the programs, in the long form"
	@rm -f reports/tenants.json
	@TENANTS=long $(BIN)/pytest -q --timeout 900 $$($(BIN)/python -m tests.tenants.attacks tests)
	@$(BIN)/python -m tests.tenants.attacks figures
	@echo "    took $$SECONDS s"

field-long: tools ## restarts, slow loads, failing edits, autoscalers and failing models, into reports/field.json
	@echo "==> users' inputs on a real cluster, in the long form; about an hour and a half"
	@rm -f reports/field.json
	@FIELD=long PORT=$(PORT) $(BIN)/pytest -q -m cluster --timeout 3600 tests/walkthrough/test_field.py tests/walkthrough/test_field_models.py
	@echo "    took $$SECONDS s"

clean:
	@rm -rf .venv reports .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
