"""
Statistics, as in section 5 of the paper
========================================

Where masks lie, how many an image has, how large and how concave they are, and the scores of the
model. The first four panels are those of the paper's figures 5 and 6. Their curves are of all of SA-1B;
here are fifteen painted scenes, which show the way and no more.
"""

import segment_anything_tfds as sa1b

found = sa1b.stats(sa1b.demo_archives(), png='statistics.png')

# %%
# .. list-table:: What the paper's figures show of SA-1B, and the same panel here
#    :header-rows: 1
#
#    * - figure
#      - what it shows
#      - of SA-1B
#    * - 5
#      - centres of masks, relative to the image
#      - the corners of images are covered better than in LVIS and ADE20K; COCO and Open Images keep to
#        the centre
#    * - 6, left
#      - masks an image
#      - about 100; 36 times as many as in Open Images, 3.5 times as many as in ADE20K
#    * - 6, middle
#      - relative size, the square root of mask area / image area
#      - a larger share of small and medium masks than in the other four
#    * - 6, right
#      - concavity, 1 - mask area / area of its convex hull
#      - much like the others, once masks of equal sizes are compared
#
# The numbers behind the panels, of these scenes:

print(f'{found.images} images, {found.masks} masks, {found.masks / found.images:.0f} an image')
for name in ('relative_size', 'concavity'):
    half = found.quantile(name, 0.5)
    print(f'{name}: mean {found.mean(name):.3f}, half of the masks below {half:.3f}')

# %%
# ``sa1b.stats('a', against='b', png='both.png')`` draws two data sets into the same panels, people's
# masks beside a machine's, or your archives beside these.
