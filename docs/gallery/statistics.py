"""
Statistics, as in section 5 of the paper
========================================

Where masks lie, how large they are beside their image, how concave, how many an image has, and the
scores of the model. The paper's figures 5 and 6 show the same of all of SA-1B; these are of three small
archives with painted scenes, and show no more than the way.
"""

import segment_anything_tfds as sa1b
from segment_anything_tfds.source import resources

found = sa1b.stats(resources.folder('dummy_data'), png='statistics.png')
print(f'mean concavity {found.mean("concavity"):.3f}')
