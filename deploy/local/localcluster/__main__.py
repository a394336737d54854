"""`python -m localcluster`: see `cli`."""

import sys

from localcluster.cli import main

sys.exit(main())
