# One image, one virtualenv, four programs: `operator`, `webhook`, `agent`, `router`.
#
# The first stage makes /venv from the pinned dependencies, hashes checked. The second builds the project
# beside it. The last takes both and nothing else: no build tools, no sources, no compiler; a change of the
# project changes only its last, small layer. It runs as nobody in particular.
FROM docker.io/library/python:3.11-slim AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/runtime.txt requirements/
RUN python -m venv --copies /venv \
 && /venv/bin/pip install --require-hashes -r requirements/runtime.txt

FROM dependencies AS project
COPY requirements/build.txt requirements/
RUN /venv/bin/pip install --require-hashes -r requirements/build.txt
WORKDIR /src
COPY pyproject.toml README.md ./
COPY src src
RUN /venv/bin/pip install --no-deps --no-build-isolation --prefix=/project .

FROM docker.io/library/python:3.11-slim
COPY --from=dependencies /venv /venv
COPY --from=project /project /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp
USER 65532:65532
ENTRYPOINT ["manyserve"]
