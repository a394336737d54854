#!/usr/bin/env bash
# The first process of a node: private mounts, then containerd, the kubelet and kube-proxy.
# When one of the three ends, the node ends. Called by node.py: node.sh NAME ADDRESS FOLDER BIN
set -euo pipefail
name=$1 address=$2 folder=$3 bin=$4

hostname "$name"
mount --make-rshared /
mkdir -p /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers
mount -t tmpfs -o mode=755 tmpfs /run # containerd's socket and the pods' network namespaces
mkdir -p /run/netns /run/lock
mount --bind "$folder/kubelet" /var/lib/kubelet
mount --bind "$folder/cni" /var/lib/cni
mount --bind "$folder/log/pods" /var/log/pods
mount --bind "$folder/log/containers" /var/log/containers
mount --make-rshared /

containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
for _ in $(seq 300); do
  ctr --address /run/containerd/containerd.sock version >/dev/null 2>&1 && break
  sleep 0.1
done
touch "$folder/containerd.ready"
"$bin/kubelet" --config="$folder/kubelet.json" --kubeconfig="$folder/../$name.kubeconfig" \
  --hostname-override="$name" --node-ip="$address" --root-dir=/var/lib/kubelet \
  --cert-dir="$folder/certificates" --v=2 >"$folder/kubelet.log" 2>&1 &
"$bin/kube-proxy" --config="$folder/kube-proxy.json" >"$folder/kube-proxy.log" 2>&1 &
wait -n
echo "one of containerd, the kubelet and kube-proxy ended: see $folder/*.log"
exit 1
