"""`python -m segment_anything_tfds` is `sa1b`."""

import sys

from segment_anything_tfds.cli import main

if __name__ == '__main__':
    sys.exit(main.main())
