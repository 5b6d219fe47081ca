"""
Prompts: clicks and boxes
=========================

A click inside each mask, drawn without drawing the mask, and its box; four masks of an image.
"""

import matplotlib.pyplot as plt

import segment_anything_tfds as sa1b

archives = sa1b.demo_archives()
example = next(iter(sa1b.stream('0', manual_dir=archives)))
segmentation = example['annotations']['segmentation']
counts, size = segmentation['counts'], segmentation['size']

# %%

points, _ = sa1b.rle.sample_points(counts, size, 3, seed=(1, 2))  # [N, 3, 2]: x, y
boxes = sa1b.rle.bbox(counts, size, convention='coco').numpy()
masks = sa1b.rle.decode(counts, size).numpy()

figure, axes = plt.subplots(2, 2, figsize=(8, 5.6), layout='constrained')
for number, axis in enumerate(axes.flat):
    axis.imshow(example['image']['content'].numpy())
    axis.imshow(masks[number], alpha=0.5 * masks[number], cmap='autumn')
    axis.plot(*points[number].numpy().T, 'o', color='white', markeredgecolor='black')
    x, y, width, height = boxes[number]
    axis.add_patch(plt.Rectangle((x, y), width, height, fill=False, color='cyan'))
    axis.axis('off')
figure.savefig('prompts.png', dpi=90)
