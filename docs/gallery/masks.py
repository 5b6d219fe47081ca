"""
Masks of one image, by size
===========================

Masks overlap: parts lie on objects, objects on scenes. Here the larger half of an image's masks, and
the smaller half.
"""

import tensorflow as tf

import segment_anything_tfds as sa1b

archives = sa1b.demo_archives()
example = next(iter(sa1b.stream('0', manual_dir=archives)))

# %%


def half(example, larger):
    area = example['annotations']['area']
    order = tf.argsort(tf.cast(area, tf.int64), direction='DESCENDING' if larger else 'ASCENDING')
    kept = order[: tf.shape(area)[0] // 2]
    chosen = tf.nest.map_structure(lambda leaf: tf.gather(leaf, kept), example['annotations'])
    return {**example, 'annotations': chosen}


pictures = [half(example, larger) for larger in (True, False)]
sa1b.show(pictures, count=2).save('masks.png')
