"""The images of the pods, built on this machine and loaded into each node's containerd.

`catalog` names them. `plain` builds images with one static program, and `builder` those with a Dockerfile. `base`
builds the Python image of the Dockerfiles where no registry can be reached. `archive` writes an image file. `store`
keeps image files in the cache and loads them.
"""
