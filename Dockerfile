# Photograft in a container: its commands, and the page in a browser.
#
#   docker build -t photograft .
#   docker run --rm -v "$PWD:/photos" photograft edit cat.jpg --to lion
#   docker run --rm -v "$PWD:/photos" -p 127.0.0.1:7860:7860 photograft app --host 0.0.0.0 --auth me:secret.txt
#
# On NVIDIA GPUs (docs/containers.md):
#
#   docker build -t photograft:cuda --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 .
#   docker run --rm --gpus all -v "$PWD:/photos" photograft:cuda edit photos --to lion --out edited

ARG BASE=python:3.12-slim-bookworm
# hadolint ignore=DL3006
FROM ${BASE}

SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# The CUDA image has no Python. Versions of the base's packages are the base's.
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends make \
 && { command -v python3 || DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      python3 python3-venv; } \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/photograft
COPY pyproject.toml constraints.txt Makefile README.md LICENSE infer.py train.py ./
COPY configs configs
COPY data data
COPY infer infer
COPY models models
COPY train train

# What `make env` does, without the developers' tools.
ARG EXTRAS=app,heic
ENV PIP_NO_CACHE_DIR=1
RUN make env EXTRAS="${EXTRAS}" \
 && ln -s /opt/photograft/.venv/bin/photograft /opt/photograft/.venv/bin/photograft-train /usr/local/bin/ \
 && useradd --create-home --uid 1000 photograft \
 && install -d -o photograft /photos

USER 1000
WORKDIR /photos
EXPOSE 7860
ENTRYPOINT ["photograft"]
CMD ["--help"]
