"""
From links to the first fit
===========================

Download archives by their links, verify them, build the data set, look at masks, train. The archives
here are three small ones that come with the package, served by this machine; with Meta's links file
nothing changes but its name.

`Open in Colab <https://colab.research.google.com/github/segment-anything-tfds/segment-anything-tfds/blob/main/docs/notebooks/01_first_fit.ipynb>`__
"""

import functools
import http.server
import pathlib
import tempfile
import threading

import segment_anything_tfds as sa1b

folder = pathlib.Path(tempfile.mkdtemp())


# This stands in for Meta's server and its links file.
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


served = functools.partial(Quiet, directory=sa1b.demo_archives())
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), served)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f'http://127.0.0.1:{server.server_port}'
names = ['sa_000000.tar', 'sa_000001.tar', 'sa_000002.tar']
rows = ['file_name\tcdn_link', *(f'{name}\t{address}/{name}' for name in names)]
links = folder / 'segment_anything_links.txt'  # the name that Meta's file has
_ = links.write_text('\n'.join(rows))

# %%
# Download
# --------
#
# Archives are chosen by number: ``'20-29'`` would be ten of them. The same call again does what is
# missing. A copy is whole when it has been read to its end; Meta's archives have 11,186 images each,
# ours five.

done = sa1b.download(links, to=folder, archives='0-1', accept_license=True, progress=None)
print([one.status for one in done])
print([one.state for one in sa1b.verify(folder, expected=0, progress=None)])

# %%
# Build
# -----
#
# ``manual_dir`` is the folder with the links file and archives. Archive 2 is not there, so it is read
# from its link, and never stored. One archive becomes one shard; memory stays at a third of a
# gigabyte however large the archives are; a build that is stopped goes on with what is missing.

import tensorflow_datasets as tfds

builder = tfds.builder('segment_anything/0-2', data_dir=str(folder / 'prepared'))
builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(folder)))
server.shutdown()
print(builder.info.splits['train'].num_examples, 'images')

# %%
# Look
# ----

ds = builder.as_dataset(split='train')
sheet = sa1b.show(ds, count=3, side=400)
sheet.save('first_fit.png')

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
# A recipe makes batches of images, prompts and masks, and brings the loss. This one is SAM's, at a
# size for a laptop, and two steps.

import keras

training = sa1b.training
recipe = training.recipes.get('sam', image_size=128, mask_size=32, num_masks=8)
ds = builder.as_dataset(split='train', decoders=recipe.decoders)
model = training.PromptableSegmenter(training.small_sam(128))
model.compile(keras.optimizers.AdamW(1e-3), loss=recipe.loss)
history = model.fit(recipe.batches(ds.repeat(), batch_size=2, seed=0), steps_per_epoch=2, verbose=0)
print(f'loss {history.history["loss"][0]:.2f}')
