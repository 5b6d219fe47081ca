"""
What is part of what
====================

The tree of an image's masks, by geometry: masks that lie in no other, masks in them, masks in those;
and one map with the smallest mask of each pixel on top.
"""

import matplotlib.pyplot as plt
import numpy as np

import segment_anything_tfds as sa1b

archives = sa1b.demo_archives()
example = next(iter(sa1b.stream('0', manual_dir=archives)))
segmentation = example['annotations']['segmentation']
counts, size = segmentation['counts'], segmentation['size']

# %%

tree = sa1b.rle.hierarchy(counts, size)
depth = tree.depth.numpy()
leaves = sa1b.rle.leaf_map(counts, size).numpy()
colours = np.random.default_rng(0).uniform(0.2, 1, [len(depth) + 1, 3])
colours[-1] = 0  # of -1: no mask

figure, axes = plt.subplots(2, 2, figsize=(8, 5.8), layout='constrained')
masks = sa1b.rle.decode(counts, size).numpy().astype(bool)
for level, axis in enumerate(axes.flat[:3]):
    shown = np.full(leaves.shape, -1)
    for number in np.nonzero(depth == level)[0]:
        shown[masks[number]] = number
    axis.imshow(colours[shown])
    axis.set_title(f'depth {level}: {np.sum(depth == level)} of {len(depth)} masks')
axes.flat[3].imshow(colours[leaves])
axes.flat[3].set_title('leaf map')
for axis in axes.flat:
    axis.axis('off')
figure.savefig('hierarchy.png', dpi=90)
