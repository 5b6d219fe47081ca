"""
Your own images, masks, training
================================

From pictures without any masks to a training step on masks that a model found, as SA-1B itself was
made.

`Open in Colab <https://colab.research.google.com/github/segment-anything-tfds/segment-anything-tfds/blob/main/docs/notebooks/07_own_images.ipynb>`__
"""

import pathlib
import tempfile

import numpy as np
from PIL import Image

import segment_anything_tfds as sa1b

folder = pathlib.Path(tempfile.mkdtemp())
photographs = folder / 'photographs'
photographs.mkdir()
archives = sa1b.demo_archives()
for record in sa1b.records(archives, limit=2):  # two pictures, as if they were yours
    (photographs / record.file_name.replace('sa_', 'IMG_')).write_bytes(record.jpeg)
print(sorted(path.name for path in photographs.iterdir()))

# %%
# Find masks
# ----------
#
# ``settings='sa1b'`` looks as closely as Meta did for SA-1B. Here a coarse grid does, and the small
# model that comes with the package, which knows painted scenes such as these and nothing of
# photographs; ``training.load_model('sam_vit_h_4b8939.pth')`` takes Meta's. The thresholds are Meta's
# unless given: a small model trusts its masks less.

training, annotate = sa1b.training, sa1b.annotate
settings = annotate.settings.get(
    'default',
    points_per_side=12,
    pred_iou_thresh=0.1,
    stability_score_thresh=0.5,
    min_mask_region_area=25,
)
done = annotate.write_archives(
    photographs, training.tiny_sam(), folder / 'found', settings=settings, progress=None
)
print(done)
sa1b.show(folder / 'found', count=2, side=500).save('found.png')

# %%
# Masks that you have
# -------------------
#
# Arrays, PNGs and RLE become archives in one call; COCO files with ``sa1b.import_data``.

with Image.open(next(photographs.iterdir())) as picture:
    image = np.asarray(picture)
mask = np.zeros([1, *image.shape[:2]], np.uint8)
mask[0, 100:300, 200:500] = 1
sa1b.records.write([image], [mask], folder / 'mine')

# %%
# Train
# -----
#
# Both are archives like Meta's: verify, build, train, here a model without any training so far.

import keras
import tensorflow_datasets as tfds

print([report.state for report in sa1b.verify(folder / 'found', expected=0, progress=None)])
builder = tfds.builder('segment_anything', data_dir=str(folder / 'prepared'))
config = tfds.download.DownloadConfig(manual_dir=str(folder / 'found'))
builder.download_and_prepare(download_config=config)

recipe = training.recipes.get('sam', image_size=128, mask_size=32, num_masks=4)
ds = builder.as_dataset(split='train', decoders=recipe.decoders)
model = training.PromptableSegmenter(training.small_sam(128))
model.compile(keras.optimizers.AdamW(1e-3), loss=recipe.loss)
history = model.fit(recipe.batches(ds.repeat(), batch_size=2, seed=0), steps_per_epoch=2, verbose=0)
print(f'loss {history.history["loss"][0]:.2f}')
