"""
JAX, with Grain
===============

A shuffled, repeatable input pipeline for JAX without TensorFlow.

`Open in Colab <https://colab.research.google.com/github/segment-anything-tfds/segment-anything-tfds/blob/main/docs/notebooks/04_jax_grain.ipynb>`__
"""

import pathlib
import tempfile

import tensorflow_datasets as tfds

import segment_anything_tfds as sa1b

folder = pathlib.Path(tempfile.mkdtemp())
builder = tfds.builder('segment_anything', data_dir=str(folder), file_format='array_record')
config = tfds.download.DownloadConfig(manual_dir=sa1b.demo_archives())
builder.download_and_prepare(download_config=config)

# %%
# ``SA1B`` is a source with random access, ``Rows`` draws masks and prompts with the random numbers
# that Grain hands out: the same seed gives the same batches, on any number of workers.

import grain
import jax
import jax.numpy as jnp

from segment_anything_tfds.grain import SA1B, Rows

source = grain.MapDataset.source(SA1B(folder)).seed(0).shuffle()
batches = source.random_map(Rows(image_size=256, num_masks=8)).batch(4)
batch = batches[0]
for name, value in batch.items():
    print(name, value.shape, value.dtype)

# %%
# What a step does with it is JAX as always.


@jax.jit
def coverage(masks, valid):
    """The mean share of the square that a mask covers."""
    share = jnp.mean(masks.astype(jnp.float32), axis=(-2, -1))
    return jnp.sum(share * valid) / jnp.sum(valid)


print(f'{coverage(batch["masks"], batch["valid"]):.3f}')

# %%
# On several hosts each takes its part: ``source[host::hosts]`` before ``shuffle``.
