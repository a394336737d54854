"""Files of a release: `make release VERSION=x` writes them into dist/x, with the same bytes each time."""
