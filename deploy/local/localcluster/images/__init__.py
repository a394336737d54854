"""The images that pods run here, made on this machine and put into each node's containerd.

`catalog` names them, `plain` makes those that hold one static program, `builder` those that have a
Dockerfile, `base` the Python image that they start from where no registry can be reached, `archive`
writes an image file, and `store` keeps them in the cache and loads them.
"""
