"""
Look at the data and count it
=============================

Pictures, a page to browse, and the statistics of section 5 of the paper, on any selection.

`Open in Colab <https://colab.research.google.com/github/segment-anything-tfds/segment-anything-tfds/blob/main/docs/notebooks/06_look_at_the_data.ipynb>`__
"""

import segment_anything_tfds as sa1b

archives = sa1b.demo_archives()

# %%
# A contact sheet. ``sa1b.preview(archives, html='page.html')`` writes a page to browse instead, in one
# file that needs no network.

sheet = sa1b.show(archives, count=6, side=300)
sheet.save('sheet.png')

# %%
# Records one by one, as they stand in the archives, without TensorFlow:

for record in sa1b.records(archives, limit=3):
    annotations = record.json['annotations']
    print(record.file_name, len(annotations), 'masks')

# %%
# Where masks lie, how large and how concave they are, and their scores. On all of SA-1B the counting
# runs on Beam, and parts can be merged.

found = sa1b.stats(archives, png='stats.png')
print(f'{found.mean("concavity"):.3f}')

# %%
# Are the archives whole? Each is read to its end.

for report in sa1b.verify(archives, expected=0, progress=None):
    print(report.archive, report.state)
