"""`sa1b download`: archives into a folder; run it again and it does what is missing."""

from segment_anything_tfds.cli.download.command import HELP, add_arguments, run

__all__ = ['HELP', 'add_arguments', 'run']
