"""
Augmentation: one geometry for image, masks and boxes
=====================================================

A window, a scale and a mirror are drawn once and applied to everything. Masks stay runs until they are
drawn, at the size that the model wants.
"""

import matplotlib.pyplot as plt

import segment_anything_tfds as sa1b

archives = sa1b.demo_archives()
example = next(iter(sa1b.stream('0', manual_dir=archives)))
image = example['image']['content']
segmentation = example['annotations']['segmentation']
counts, size = segmentation['counts'], segmentation['size'][0]

# %%

FILL = (124, 116, 104)  # SAM's mean colour, where the image does not reach
transforms = sa1b.transforms
canvas = (256, 256)
whole = transforms.fit(size, canvas)
geometries = {
    'fit': whole,
    'fit, mirrored': transforms.random_flip(whole, seed=(0, 0), probability=1.0),
    'jitter': transforms.jitter(size, canvas, seed=(0, 3)),
    'jitter, another seed': transforms.jitter(size, canvas, seed=(0, 5)),
}
figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout='constrained')
for (name, geometry), axis in zip(geometries.items(), axes, strict=True):
    pixels = transforms.apply_to_image(image, geometry, fill=FILL).numpy()
    axis.imshow(pixels.astype('uint8'))
    masks = transforms.draw_masks(counts, size, geometry, canvas).numpy()
    for number, mask in enumerate(masks):
        if mask.any() and not mask.all():
            axis.contour(mask, levels=[0.5], linewidths=0.8, colors=f'C{number % 10}')
    axis.set_title(name)
    axis.axis('off')
figure.savefig('augmentations.png', dpi=100)
