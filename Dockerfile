# syntax=docker/dockerfile:1.7
# The service: docker build -t vtoon .   With CUDA: docker build -t vtoon --build-arg TORCH=cu126 .
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm AS build

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/vtoon
ENV PATH=/opt/vtoon/bin:$PATH
# PyTorch first: it is most of the image, and changes least.
RUN pip install "torch>=2.7" "torchvision>=0.22" --index-url "https://download.pytorch.org/whl/${TORCH}"
WORKDIR /source
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY checkpoints ./checkpoints
COPY vtoon ./vtoon
RUN pip install ".[web]"

FROM python:${PYTHON}-slim-bookworm

LABEL org.opencontainers.image.title="vtoon" org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/vtoon /opt/vtoon
ENV PATH=/opt/vtoon/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 10001 vtoon && install --directory --owner vtoon /data
USER vtoon
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# Tokens come from the environment, VTOON_TOKENS, when it is run.
ENTRYPOINT ["vtoon", "serve", "--host", "0.0.0.0", "--port", "8000", "--folder", "/data/service"]
