#!/usr/bin/env bash
# The walkthrough, typed for real: a cluster, the chart, a host, two models, requests, refusals, a load test.
# Every command is printed before it runs. It stops at the first thing that is not as it should be.
#   CLUSTER=local|kind   which cluster to make (default: local); KUBECONFIG=... uses one that is there
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
CLUSTER=${CLUSTER:-local} PORT=${PORT:-22000} VALUES=(-f deploy/local/values.yaml)
SAMPLES=deploy/samples
begin=$SECONDS

say() { printf '\n\033[1m==> %s\033[0m  (%d s)\n' "$*" "$((SECONDS - begin))"; }
run() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }
refused() {
  printf '\033[2m$ %s\033[0m\n' "kubectl apply -f - <<< \"$1\""
  if kubectl apply -f - <<< "$1"; then echo "this should have been refused" >&2; exit 1; fi
}
model() { # NAME FRAMEWORK
  printf 'apiVersion: serving.kserve.io/v1alpha1\nkind: TrainedModel\nmetadata: {name: %s}\nspec: {inferenceService: triton-mms, model: {framework: %s, storageUri: "gs://kfserving-examples/models/torchscript/cifar10", memory: 1Gi}}' "$@"
}
local_cluster() { PYTHONPATH=deploy/local python -m localcluster "$@" --port "$PORT"; }

if [ -n "${KUBECONFIG:-}" ]; then
  say "using the cluster of KUBECONFIG; its gateway is expected at INGRESS_HOST:INGRESS_PORT"
  : "${INGRESS_HOST:?say where the gateway is}" "${INGRESS_PORT:?say where the gateway is}"
  VALUES=(${MANYSERVE_VALUES:+-f "$MANYSERVE_VALUES"})
elif [ "$CLUSTER" = kind ]; then
  deploy/local/kind.sh up
  eval "$(deploy/local/kind.sh env)"
else
  say "a local cluster"
  local_cluster up
  say "the cluster is ready; now its images and its object store"
  local_cluster images
  local_cluster store
  eval "$(local_cluster env)"
fi

say "installing manyserve"
run helm upgrade --install manyserve deploy/chart --namespace manyserve-system --create-namespace "${VALUES[@]}" --wait --timeout 3m
run kubectl get pods --namespace manyserve-system

say "1. the host"
run kubectl apply -f $SAMPLES/multi_model_triton.yaml
run kubectl wait --for=condition=Ready isvc/triton-mms --timeout=10m
run kubectl get isvc triton-mms

say "2. the first model"
run kubectl apply -f $SAMPLES/trained_model.yaml
run kubectl wait --for=condition=Ready tm/cifar10 --timeout=5m
run kubectl get tm cifar10
pod=$(kubectl get pod -l serving.kserve.io/inferenceservice=triton-mms -o jsonpath='{.items[0].metadata.name}')
run kubectl logs "$pod" agent --tail=20

say "3. the request"
SERVICE_HOSTNAME=$(kubectl get inferenceservices triton-mms -o jsonpath='{.status.url}' | cut -d "/" -f 3)
run curl --silent --show-error --fail -H "Host: ${SERVICE_HOSTNAME}" "http://${INGRESS_HOST}:${INGRESS_PORT}/v2/models/cifar10"
echo

say "4. the second model"
run kubectl apply -f $SAMPLES/simple_string.yaml
run kubectl wait --for=condition=Ready tm/simple-string --timeout=5m
run kubectl get tm -o wide
strings='"1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16"'
tensor() { printf '{"name":"%s","datatype":"BYTES","shape":[1,16],"data":[%s]}' "$1" "$strings"; }
run curl --silent --show-error --fail -H "Host: ${SERVICE_HOSTNAME}" -d "{\"inputs\":[$(tensor INPUT0),$(tensor INPUT1)]}" \
  "http://${INGRESS_HOST}:${INGRESS_PORT}/v2/models/simple-string/infer"
echo

say "5. what must be refused: a third gigabyte, and a framework that Triton does not support"
refused "$(model one-too-many pytorch)"
refused "$(model wrong-framework sklearn)"

say "6. the load test: a minute at 10 requests a second"
job=$(kubectl create -f $SAMPLES/perf.yaml -o name)
run kubectl wait --for=condition=Complete "$job" --timeout=3m
run kubectl logs "$job"

say "7. the end"
run kubectl delete tm cifar10
run curl --silent --show-error --fail -H "Host: ${SERVICE_HOSTNAME}" "http://${INGRESS_HOST}:${INGRESS_PORT}/v2/models/simple-string"
echo
run kubectl delete inferenceservice triton-mms
run kubectl delete "$job"
run kubectl wait --for=delete tm/simple-string --timeout=2m

say "done; the cluster is still there to play with, and make cluster-down takes it away"
