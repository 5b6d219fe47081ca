"""
Predictions: a click, boxes
===========================

What a model makes of prompts. The model is the small one that comes with the package, which was trained
on painted scenes such as this one and knows nothing of photographs; Meta's checkpoints are called
alike.
"""

import matplotlib.pyplot as plt
import numpy as np

import segment_anything_tfds as sa1b

archives = sa1b.demo_archives()
example = next(iter(sa1b.stream('0', manual_dir=archives)))
image = example['image']['content'].numpy()
segmentation = example['annotations']['segmentation']
truth = sa1b.rle.decode(segmentation['counts'], segmentation['size']).numpy().astype(bool)

# %%
# Three outputs for one click
# ---------------------------
#
# A click may mean a thing or a part of it, so SAM answers with three masks and says how good it takes
# each to be. The image is encoded once, whatever is asked of it after that.

predictor = sa1b.training.Predictor(sa1b.training.tiny_sam())
predictor.set_image(image)
click = np.array([[725, 200]])  # x, y: the crown of the tree
masks, scores, _ = predictor.predict(click, np.array([1]))


def draw(axis, mask, title, points=(), box=None):
    axis.imshow(image)
    axis.imshow(np.where(mask[..., np.newaxis], [255, 80, 0, 150], 0).astype(np.uint8))
    for x, y in points:
        axis.plot(x, y, 'o', color='white', markeredgecolor='black')
    if box is not None:
        x0, y0, x1, y1 = box
        axis.add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color='cyan'))
    axis.set_title(title, fontsize=10)
    axis.axis('off')


def iou(mask, other):
    return np.sum(mask & other) / np.sum(mask | other)


figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout='constrained')
for mask, score, axis in zip(masks, scores, axes, strict=True):
    draw(axis, mask, f'predicted IoU {score:.2f}', click)
figure.savefig('outputs.png', dpi=100)

# %%
# Boxes
# -----
#
# Many prompts go into one call. Above each is its IoU with the true mask, which the scene's painter
# knows.

boxes = sa1b.rle.bbox(segmentation['counts'], segmentation['size'], convention='coco').numpy()
boxes[:, 2:] += boxes[:, :2]  # x0, y0, x1, y1
is_thing = boxes[:, 2] - boxes[:, 0] < image.shape[1] / 2  # and not the sky, a hill, the meadow
chosen = np.argsort(-truth.sum(axis=(1, 2)) * is_thing)[:3]  # the largest
masks, _, _ = predictor.predict(box=boxes[chosen], multimask_output=False)

figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout='constrained')
for number, mask, axis in zip(chosen, masks[:, 0], axes, strict=True):
    draw(axis, mask, f'IoU {iou(mask, truth[number]):.2f}', box=boxes[number])
figure.savefig('boxes.png', dpi=100)

# %%
# From the command line
# ---------------------
#
# ``sa1b predict photo.jpg --points 725,200`` draws the same, and so does ``sa1b.predict``.

found = sa1b.predict(image, points=[(725, 200)])
found.picture.save('predict.png')
