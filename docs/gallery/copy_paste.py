"""
Copy-paste
==========

Objects of one image, pasted into another. Masks that are covered lose what is covered.
"""

import segment_anything_tfds as sa1b
from segment_anything_tfds.source import resources

archives = resources.folder('dummy_data')
first, second = sa1b.stream('0', manual_dir=archives).take(2)

# %%

pasted = sa1b.training.copy_paste(first, second, seed=(3, 4), max_objects=6)
sa1b.show([first, second, pasted], count=3, side=400).save('copy_paste.png')
