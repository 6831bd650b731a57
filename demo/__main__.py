"""`python -m demo`: both stories."""

import sys

from demo.run import main

sys.exit(main())
