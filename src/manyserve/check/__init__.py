"""The program of `helm test`: `manyserve check`."""
