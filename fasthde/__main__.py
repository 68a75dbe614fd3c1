"""``python -m fasthde``."""

import sys

from fasthde.cli import main

sys.exit(main())
