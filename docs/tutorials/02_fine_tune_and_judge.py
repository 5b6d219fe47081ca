"""
Fine-tune and judge a SAM
=========================

A model, judged; trained on a part of the data; judged again on the rest. The model is the small one
that comes with the package, so that this runs on a laptop. It knows painted scenes such as those used
here, and nothing of photographs; Meta's checkpoints go the same way.

`Open in Colab <https://colab.research.google.com/github/segment-anything-tfds/segment-anything-tfds/blob/main/docs/notebooks/02_fine_tune_and_judge.ipynb>`__
"""

import pathlib
import tempfile

import keras
import tensorflow_datasets as tfds

import segment_anything_tfds as sa1b

folder = pathlib.Path(tempfile.mkdtemp())
builder = tfds.builder('segment_anything/0-2', data_dir=str(folder))
config = tfds.download.DownloadConfig(manual_dir=sa1b.demo_archives())
builder.download_and_prepare(download_config=config)

# %%
# Hold out
# --------
#
# SA-1B has no test split. Archives are shards, and images lie in them in random order, so whole
# archives make a clean one.

training = sa1b.training
model = training.tiny_sam(corrections=1)
side = model.backbone.image_encoder.image_shape[0]
recipe = training.recipes.get('sam', image_size=side, mask_size=side // 4, num_masks=4)
train = builder.as_dataset(split='train[:2shard]', decoders=recipe.decoders)
held_out = builder.as_dataset(split='train[2shard:]')

# %%
# Judge
# -----
#
# As SAM was judged: mean IoU at the size of the images, after one click and three, and with a box;
# of the output that the model trusts most, and of the best one (*oracle*).


def judge(model):
    examples = tfds.as_numpy(held_out.take(2))
    found = training.evaluate.evaluate_model(model, examples, clicks=(1, 3), num_masks=6)
    for prompt, scores in found.items():
        print(f'{prompt}: {scores["mean_iou"]:.2f}, oracle {scores["oracle"]:.2f}')


judge(model)

# %%
# Train
# -----
#
# The image encoder stays as it is at first, as most fine-tuning of SAM has it. Each step is a prompt
# and a click on the error that is left. Three steps prove nothing; they show the way.

model.backbone.image_encoder.trainable = False
model.compile(keras.optimizers.AdamW(1e-5), loss=recipe.loss)
batches = recipe.batches(train.repeat(), batch_size=1, seed=0)
history = model.fit(batches, steps_per_epoch=3, verbose=0)
print(f'loss {history.history["loss"][0]:.2f}')
judge(model)

# %%
# Keep
# ----
#
# ``.keras`` for Keras, ``.pth`` for Meta's own classes; both are loaded again by name. To begin with
# Meta's weights instead: ``training.checkpoints.load('sam_vit_b_01ec64.pth')``.

model.save(folder / 'sam.keras')
training.checkpoints.save(model, folder / 'sam.pth')
print(sorted(path.name for path in folder.glob('sam.*')))
