"""
From archives to the first ``fit``
==================================

Three small archives come with the package, in the layout of SA-1B. This page takes the whole way with
them: look at what is there, build the data set, read masks, train for two steps. With SA-1B's own
archives nothing changes but the folder.
"""

import pathlib
import tempfile

import tensorflow_datasets as tfds

import segment_anything_tfds as sa1b
from segment_anything_tfds.source import resources

archives = resources.folder('dummy_data')
print(sorted(path.name for path in pathlib.Path(archives).glob('*.tar')))

# %%
# Build
# -----
#
# ``manual_dir`` is the folder with the archives, or with the links file; then archives are read from
# their links. One archive becomes one shard, and memory stays at a third of a gigabyte however
# large the archives are. A build that is stopped goes on with what is missing.

data_dir = tempfile.mkdtemp()
builder = tfds.builder('segment_anything/0-1', data_dir=data_dir)  # archives 0 and 1
builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=archives))
print(builder.info.splits['train'].num_examples, 'images')

# %%
# Look
# ----
#
# ``show`` draws images with their masks; a notebook shows the picture by itself.

ds = builder.as_dataset(split='train')
sa1b.show(ds, count=3).save('first_fit.png')

# %%
# Masks
# -----
#
# Masks are run-length encoded. They are measured without being drawn, and drawn at the size that is
# wanted, all masks of an image at once, inside the input graph.


def describe(example):
    segmentation = example['annotations']['segmentation']
    counts, size = segmentation['counts'], segmentation['size']
    return {
        'areas': sa1b.rle.area(counts, size),
        'masks': sa1b.rle.decode_resized(counts, size, (64, 64)),
    }


for found in ds.map(describe).take(1):
    print(found['masks'].shape, found['areas'].numpy()[:5])

# %%
# Train
# -----
#
# A recipe makes batches: images, prompts, masks. This one is SAM's, at a size for a laptop.

import keras

training = sa1b.training
recipe = training.recipes.get('sam', image_size=128, mask_size=32, num_masks=8)
ds = builder.as_dataset(split='train', decoders=recipe.decoders)
model = training.PromptableSegmenter(training.small_sam(128))
model.compile(keras.optimizers.AdamW(1e-3), loss=training.SegmentAnythingLoss())
history = model.fit(recipe.batches(ds.repeat(), batch_size=2, seed=0), steps_per_epoch=2, verbose=0)
print(f'loss {history.history["loss"][0]:.2f}')

# %%
# Where to go from here: the how-to pages, one for each thing that people do next.
