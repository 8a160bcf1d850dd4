# A thin face: every command is `python -m tests.lab|drill|bench …` or pytest, with what it needs installed first.
# LAB=name works on another lab; PLATFORM, AMI, LATENCY, STACK, PROBE, YES, NODE, JSON, TRIALS, ONLY, MINUTES, SEED, KIND, KINDS, RUNS,
# CLEAN and REPORT as docs/guide.md and docs/prove.md say.

TOOLS := python3 -m tests.lab.toolchain
export LAB STACK PROBE YES
# Bytecode goes to the cache: run as root, Python would leave files of root's in the checkout. Without any, each of
# the many programs that a test starts would be compiled again.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX ?= $(or $(EC2VIP_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ec2vip)/pycache

# Commands on a running lab install nothing; a stack other than the lab's needs no lab.
WITH_LAB = @$(TOOLS) running -- python -m tests.$(1)

.PHONY: help up status shell verify prove lab-like roll faults soak fault bench starts tokens down env test lint lock check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## install what is missing, start the lab, deploy the pair, wait until the VIP answers (root; PLATFORM=debian13, AMI=baked)
	@$(TOOLS) lab -- python -m tests.lab up

status: ## show nodes, holder and cluster state (JSON=1: as JSON; STACK=dev: of a stack in your AWS account)
	$(call WITH_LAB,lab status)

shell: ## open a root shell on NODE=a, b or client
	$(call WITH_LAB,lab shell $(or $(NODE),a))

verify: ## break the pair in every trial, measure the client's outage (TRIALS="reboot …"; STACK=dev PROBE="ssh bastion")
	$(call WITH_LAB,drill verify $(foreach trial,$(TRIALS),--only $(trial)))

prove: ## make a pair of its own in your AWS account, prove it, remove it; writes build/prove.json, .md and .svg (STACK=dev; YES=1, RUNS=n, CLEAN=1)
	@$(TOOLS) $(if $(filter-out local,$(STACK)),engine,lab) -- python -m tests.drill prove

lab-like: ## give the running lab the times and answers that `make prove` has found on AWS (REPORT=build/prove.json)
	$(call WITH_LAB,drill lab-like)

faults: ## run the whole fault catalogue and judge each outcome; writes build/faults.json (ONLY="hang …")
	$(call WITH_LAB,drill faults $(foreach row,$(ONLY),--only $(row)))

soak: ## run random faults for MINUTES=10; the pair must be whole after each (KIND=kills: SIGKILLs in a row; SEED=n: the same faults again)
	$(call WITH_LAB,drill soak)

fault: ## break something for SECONDS=10 on NODE=a (NAME=power-loss …; without NAME: list the faults)
	$(if $(NAME),$(call WITH_LAB,lab fault $(NAME) $(if $(NODE),--node $(NODE)) $(if $(SECONDS),--seconds $(SECONDS))),@$(TOOLS) python -- python -m tests.lab fault)

bench: ## compare ours with awsvip and the settings of 2015 (RUNS=10 KINDS="crash planned" LATENCY=none); writes build/bench.json and .svg
	$(call WITH_LAB,bench bench)

starts: ## measure how long a start of the agent takes until its request reaches EC2 (RUNS=20)
	$(call WITH_LAB,bench starts)

roll: ## replace both nodes by one pulumi up while a client pings the VIP, twice; writes build/roll.json
	$(call WITH_LAB,drill roll)

tokens: ## measure what several tokens cost and forgive (TOKENS="300 1000", RUNS=4, AGAIN=1); writes build/tokens.json and .svg
	$(call WITH_LAB,bench tokens)

down: ## run pulumi destroy and end the lab; nothing stays
	$(call WITH_LAB,lab down)

env: ## print what a shell needs to use the lab by hand: eval "$$(make -s env)"
	$(call WITH_LAB,lab env)

# A file of tests to each worker, the slow ones first. Those of the labs wait most of the time, and two labs do not notice each other.
test: ## run every tier of tests (PYTEST="tests/unit -k bootstrap": only these; PROVIDER=aws: the engine tier with the real plugin)
	@EC2VIP_PROVIDER="$(PROVIDER)" $(TOOLS) $(if $(PROVIDER),engine -- sh -ec 'python -m tests.lab.plugin; \
	exec python -m pytest $(or $(PYTEST),tests/engine)',test -- $(if $(PYTEST),python -m pytest $(PYTEST),sh -c 'python -m pytest tests/engine tests/harness tests/unit \
	-n auto --dist=loadfile --no-loadscope-reorder; quick=$$?; python -m pytest tests/cluster -n 2 --dist=loadfile && exit $$quick'))

lint: ## check format, lint, types and shell scripts
	@$(TOOLS) python -- sh -ec 'ruff format --check . && ruff check . && mypy && \
	shellcheck cloudinit/node/*.sh tests/bench/subjects/*.sh tests/lab/bake.sh .ci/run'

lock: ## write tests/requirements.lock anew, after a change of requirements.txt or of the `test` extra (UPGRADE=--upgrade: to newer versions)
	@$(TOOLS) python -- sh -ec 'uv=$$(mktemp -d); trap "rm -rf $$uv" EXIT; python -m venv $$uv && $$uv/bin/pip install --quiet uv && \
	python -c "from tests.lab.toolchain import declared; print(*declared(), sep=chr(10))" | $$uv/bin/uv pip compile --quiet --universal \
	--python-version 3.10 --generate-hashes --no-annotate --custom-compile-command "make lock" $(UPGRADE) --output-file tests/requirements.lock -'

check: lint ## lint, then run tests/unit and tests/harness
	@$(TOOLS) python -- python -m pytest tests/unit tests/harness -q -n auto --dist=loadfile
