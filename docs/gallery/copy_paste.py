"""
Copy-paste
==========

Objects of one image, pasted into another, straight from their runs. Masks that are covered lose what
is covered, boxes and areas follow, and the result is an example like any other.
"""

import matplotlib.pyplot as plt
import tensorflow as tf

import segment_anything_tfds as sa1b

archives = sa1b.demo_archives()
example, source = sa1b.stream('0', manual_dir=archives).take(2)

# %%
# Only things are pasted here, not the sky or the hills: masks of at most a tenth of their image.

things = sa1b.training.datasets.keep_masks(max_area_fraction=0.1)
pasted = sa1b.training.copy_paste(
    example, things(source), seed=(3, 0), max_objects=8, scale_range=(0.8, 1.5)
)

# %%
# The outlines are those of the masks that came from the second image.


def masks_of(shown, ids):
    annotations = shown['annotations']
    came = tf.reduce_any(annotations['id'][:, tf.newaxis] == ids, axis=1)
    segmentation = annotations['segmentation']
    counts = tf.boolean_mask(segmentation['counts'], came)
    return sa1b.rle.decode(counts, pasted['annotations']['segmentation']['size'][0]).numpy()


figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout='constrained')
shown = {'image': example, 'another': source, 'pasted': pasted}
for (name, part), axis in zip(shown.items(), axes, strict=True):
    axis.imshow(part['image']['content'].numpy())
    axis.set_title(name)
    axis.axis('off')
for mask in masks_of(pasted, things(source)['annotations']['id']):
    axes[2].contour(mask, levels=[0.5], linewidths=0.8, colors='yellow')
figure.savefig('copy_paste.png', dpi=100)
