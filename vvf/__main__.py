# SPDX-License-Identifier: Apache-2.0
"""`python -m vvf` is the `vvf` command."""

import sys

from vvf.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
