# One image, one virtualenv, three programs: `operator`, `webhook`, `agent`.
#
# The first stage installs the pinned dependencies (hashes checked) and the project into /venv; the second
# takes /venv and nothing else: no pip cache, no sources, no compiler. It runs as nobody in particular.
FROM docker.io/library/python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv --copies /venv \
 && /venv/bin/pip install --require-hashes -r requirements/build.txt -r requirements/runtime.txt
COPY pyproject.toml README.md ./
COPY src src
RUN /venv/bin/pip install --no-deps --no-build-isolation . \
 && /venv/bin/pip uninstall -y -r requirements/build.txt pip setuptools

FROM docker.io/library/python:3.11-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 65532:65532
ENTRYPOINT ["manyserve"]
