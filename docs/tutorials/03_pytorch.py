"""
PyTorch
=======

Batches for PyTorch from workers that import no TensorFlow.

`Open in Colab <https://colab.research.google.com/github/segment-anything-tfds/segment-anything-tfds/blob/main/docs/notebooks/03_pytorch.ipynb>`__
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
# ``array_record`` files have random access, so a sampler may shuffle all images. Masks are drawn in
# NumPy, at the size that is wanted; images are scaled and padded to a square as SAM does.

import torch

from segment_anything_tfds.torch import SA1B, collate

data = SA1B(folder, image_size=256, num_masks=8)
loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True, collate_fn=collate)
batch = next(iter(loader))
for name, value in batch.items():
    print(name, tuple(value.shape), value.dtype)

# %%
# A step of training with a model of your own: here one that colours pixels by a convolution, and is
# to find what any mask covers.

net = torch.nn.Conv2d(3, 1, kernel_size=4, stride=4)
optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
covered = batch['masks'].amax(1, keepdim=True).float()
logits = net(batch['image'].float() / 255)
loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, covered)
loss.backward()
optimizer.step()
print(f'loss {loss.item():.2f}')

# %%
# ``num_workers=8`` on a real machine. The model of this package trains in PyTorch too: set
# ``KERAS_BACKEND=torch`` before Keras is imported.
