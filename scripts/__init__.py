"""Programs for developers; the Makefile and `.pre-commit-config.yaml` call them."""
