"""
Augmentation: one geometry for image, masks and boxes
=====================================================

A window, a scale and a mirror are drawn once and applied to everything. Masks stay runs until they are
drawn, at the size that the model wants.
"""

import matplotlib.pyplot as plt

import segment_anything_tfds as sa1b
from segment_anything_tfds.source import resources

archives = resources.folder('dummy_data')
example = next(iter(sa1b.stream('0', manual_dir=archives)))
image = example['image']['content']
segmentation = example['annotations']['segmentation']
counts, size = segmentation['counts'], segmentation['size'][0]

# %%

transforms = sa1b.transforms
canvas = (256, 256)
geometries = {
    'fit': transforms.fit(size, canvas),
    'jitter': transforms.jitter(size, canvas, seed=(0, 1)),
    'jitter, another seed': transforms.jitter(size, canvas, seed=(0, 5)),
}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout='constrained')
for (name, geometry), axis in zip(geometries.items(), axes, strict=True):
    pixels = transforms.apply_to_image(image, geometry).numpy()
    masks = transforms.draw_masks(counts, size, geometry, canvas).numpy()
    axis.imshow(pixels.astype('uint8'))
    axis.contour(masks.sum(0), levels=[0.5, 1.5, 2.5], linewidths=0.8, colors='yellow')
    axis.set_title(name)
    axis.axis('off')
figure.savefig('augmentations.png', dpi=90)
