#!/usr/bin/env bash
# The local cluster for those who have Docker: kind.sh up | env | down. Needs docker, kind and kubectl.
# NOT TESTED where it was written, which has no Docker; `python -m localcluster` is the tested way.
set -euo pipefail
cd "$(dirname "$0")"
name=manyserve
kubeconfig=${MANYSERVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/manyserve}/kind.kubeconfig
contour=https://raw.githubusercontent.com/projectcontour/contour/v1.33.8/examples/render/contour.yaml
product=docker.io/manyserve/manyserve:dev
triton=docker.io/manyserve/tritonserver:2.51.0-cpu
small=(fake-gcs-server:1 vegeta:12 busybox:1)
export KUBECONFIG=$kubeconfig DOCKER_DEFAULT_PLATFORM=linux/amd64 # Triton's wheel is for amd64 only

up() {
  mkdir -p "$(dirname "$kubeconfig")"
  kind get clusters | grep -qx "$name" || kind create cluster --name "$name" --config kind/kind.yaml --wait 3m
  kind export kubeconfig --name "$name" --kubeconfig "$kubeconfig"
  docker build --tag "$product" ../..
  docker build --tag "$triton" images/triton
  for image in "${small[@]}"; do
    docker build --tag "docker.io/manyserve/$image" --target "${image%:*}" --file kind/Dockerfile .
  done
  kind load docker-image --name "$name" "$product" "$triton" "${small[@]/#/docker.io/manyserve/}"
  kubectl apply --server-side -f "$contour" -f manifests/ingressclass.yaml
  kubectl apply -f manifests/store.yaml
  kubectl -n projectcontour rollout status deployment/contour --timeout=3m
  kubectl -n projectcontour rollout status daemonset/envoy --timeout=3m
  kubectl -n manyserve-store rollout status deployment/gcs --timeout=3m
}

need() { # PROGRAM ...
  for program; do
    command -v "$program" >/dev/null || { echo "CLUSTER=kind needs $program on PATH" >&2; exit 2; }
  done
}

case ${1:-} in
up) need docker kind kubectl; up >&2 ;;
env) printf 'export KUBECONFIG=%q INGRESS_HOST=127.0.0.1 INGRESS_PORT=22001\n' "$kubeconfig" ;;
down) need docker kind; kind delete cluster --name "$name" && rm -f "$kubeconfig" ;;
*) echo "usage: kind.sh up|env|down" >&2; exit 2 ;;
esac
