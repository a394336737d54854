"""A real Kubernetes on one Linux machine, without Docker and without a registry.

`python -m localcluster up` makes, from Go modules, PyPI and Debian packages, what `kind` makes from
images: etcd, the control plane, nodes with containerd and a kubelet, cluster DNS and an ingress
gateway. Everything lives in network namespaces of its own, so several clusters run side by side and
`down` leaves nothing behind. `README.md` beside this package has the picture.
"""
