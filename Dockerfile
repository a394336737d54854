# One image, one virtualenv, the programs of `manyserve --help`.
#
# The first stage makes /venv from the pinned dependencies, hashes checked; pip stays outside of it. The second builds
# the project beside it. The last takes both and nothing else: no build tools, no sources, no compiler, no pip; a change
# of the project changes only its last, small layer. It runs as nobody in particular.
#
# A release gives the base by its digest: --build-arg BASE=docker.io/library/python:3.11-slim@sha256:...
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS dependencies
# The lock is complete, so pip looks for no dependencies: one of them is left out, as requirements/runtime.in says.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/runtime.txt requirements/
RUN python -m venv /tools \
 && python -m venv --copies --without-pip /venv \
 && /tools/bin/pip --python /venv/bin/python install --no-deps --require-hashes -r requirements/runtime.txt

FROM dependencies AS project
COPY requirements/build.txt requirements/
RUN /tools/bin/pip install --require-hashes -r requirements/build.txt
WORKDIR /src
COPY pyproject.toml README.md ./
COPY src src
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /tools/bin/pip --python /venv/bin/python install --no-deps --prefix=/project /wheel/*.whl

FROM ${BASE}
COPY --from=dependencies /venv /venv
COPY --from=project /project /venv
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=""
ARG CREATED=""
LABEL org.opencontainers.image.title="manyserve" \
      org.opencontainers.image.description="Operator, webhook, agent and router of multi-model serving for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}"
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp
USER 65532:65532
ENTRYPOINT ["manyserve"]
