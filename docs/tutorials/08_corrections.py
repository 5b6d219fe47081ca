"""
Corrections, through an annotation tool
=======================================

Masks go into CVAT, somebody corrects them, they come back with the same ids; then how much was
corrected is a number.

`Open in Colab <https://colab.research.google.com/github/segment-anything-tfds/segment-anything-tfds/blob/main/docs/notebooks/08_corrections.ipynb>`__
"""

import pathlib
import tempfile

import segment_anything_tfds as sa1b

folder = pathlib.Path(tempfile.mkdtemp())
archives = sa1b.demo_archives()
count = sa1b.export(archives, format='cvat', out=folder / 'to_correct', limit=2, progress=None)
print(count, sorted(path.name for path in (folder / 'to_correct').iterdir()))

# %%
# In CVAT: a project with the labels of ``labels.json``, a task with ``images/``, and
# ``annotations.xml`` uploaded as *CVAT for images 1.1*. Masks stay masks there. Label Studio and
# LabelMe have formats of their own here; the way is the same.
#
# What a person then does, we do by hand: delete the first mask, and shift the second by a few pixels.

import xml.etree.ElementTree as ElementTree

path = folder / 'to_correct' / 'annotations.xml'
tree = ElementTree.parse(path)
picture = tree.find('image')
first, second = picture.findall('mask')[:2]
picture.remove(first)
second.set('left', str(max(int(second.get('left')) - 4, 0)))
tree.write(path)

# %%
# Back
# ----
#
# Masks that nobody touched keep their ids and their scores; changed ones keep the id, and have no
# score of a model any more.

found = sa1b.import_data(
    path,
    format='cvat',
    images=folder / 'to_correct' / 'images',
    out=folder / 'corrected',
    progress=None,
)
print(dict(found))

# %%
# How good were the masks? The SAM paper asked the same of professionals' corrections: 94 % of the
# pairs agreed by more than 0.90 IoU.

report = sa1b.evaluate(folder / 'corrected', against=archives)
print(report['masks'])
sa1b.show(folder / 'corrected', count=2, side=400).save('corrected.png')

# %%
# ``corrected`` holds SA-1B archives: build them, train on them, and let the better model propose the
# next ones.
