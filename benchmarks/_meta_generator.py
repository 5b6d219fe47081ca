"""One side of `annotate.py`: Meta's generator, in an interpreter that has its packages."""

import json
import sys

import _stages
import meta_side
import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator


def main(spec: str) -> None:
    given = json.loads(spec)
    torch.set_num_threads(given['threads'])
    sam = meta_side.sam_of(torch.load(given['weights']))
    generator = SamAutomaticMaskGenerator(sam, output_mode='coco_rle', **given['settings'])
    image = np.load(given['image'])
    stages = _stages.Stages()
    predictor = generator.predictor
    predictor.set_image = stages.timed('encode', predictor.set_image)
    for part in ('prompt_encoder', 'mask_decoder'):
        module = getattr(sam, part)
        module.forward = stages.timed('decode', module.forward)
    with torch.no_grad():
        found = _stages.measure(lambda: generator.generate(image), stages, given['repeat'])
    print(json.dumps({**found, 'torch': torch.__version__}))


if __name__ == '__main__':
    main(sys.argv[1])
