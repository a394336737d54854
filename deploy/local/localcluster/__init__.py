"""A real Kubernetes on one Linux machine, without Docker and without a registry.

`python -m localcluster up` is an equivalent of `kind`. It builds etcd, the control plane, nodes with containerd and a
kubelet, cluster DNS and an ingress gateway from Go modules, PyPI and Debian packages. All of it runs in network
namespaces of its own. So several clusters run side by side, and `down` leaves nothing behind. `README.md` beside this
package has an overview.
"""
