"""
Look at the data and count it
=============================

Pictures, a page to browse, and the statistics of section 5 of the paper, on any selection.
"""

import subprocess

from segment_anything_tfds.source import resources

archives = str(resources.folder('dummy_data'))


def sa1b(*arguments):
    """Runs the command, as in a terminal."""
    done = subprocess.run(['sa1b', *arguments], capture_output=True, text=True, check=True)
    print(done.stdout)


# %%
# A contact sheet; ``--html page.html`` writes a page to browse instead, in one file.

sa1b('preview', archives, '--limit', '6', '--cell', '300', '--png', 'sheet.png')

# %%
# Where masks lie, how large and how concave they are, and their scores:

sa1b('stats', archives, '--png', 'stats.png')

# %%
# Are the archives whole? Each is read to its end.

sa1b('verify', archives, '--expected', '0')
