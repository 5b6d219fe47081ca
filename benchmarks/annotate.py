"""The mask generator beside Meta's own: same weights, image, settings and CPU, in turns.

    python benchmarks/annotate.py --model tiny --settings default sa1b --json rows.json
    python benchmarks/annotate.py --model tiny vit_b --settings default --points_per_side 8

Each side runs in a process of its own: memory is the peak beyond the loaded model, `rest` is all
that comes after the decoder (upscaling, filters, boxes, RLE, NMS, small regions). Meta's side needs
what `.ci/reference` installs; without it, ours is measured alone. `vit_b` has the shape of Meta's
ViT-B and random weights, made so that some masks pass the filters and have smooth borders.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import _report
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'tests'), str(HERE.parent / 'dummy_data')]
_ENLARGING = [f'mask_decoder.output_upscaling.{n}.weight' for n in (0, 3)]  # [in, out, 2, 2]
TARGETS = {
    'memory': '<= 0.3',
    'rest': '>= 4',
    'image tiny': '>= 2',
    'image vit_b': '>= 1',
}


def main(argv: list[str] | None = None) -> int:
    args = _parse(argv)
    if args.side:
        _ours(json.loads(args.side))
        return 0
    packages = ('keras', 'keras-hub', 'tensorflow', 'torch')
    report = _report.Report(packages, note=args.note, file=args.json)
    for model in args.model:
        with tempfile.TemporaryDirectory() as folder:
            _measure(report, args, model, pathlib.Path(folder))
    report.write()
    return 0


def _measure(report: _report.Report, args, model: str, folder: pathlib.Path) -> None:
    """Adds the rows of one model."""
    _run([sys.executable, __file__, '--side', json.dumps(_spec(args, model, folder, 'make'))])
    for settings in args.settings:
        title = f'{model}, {settings}, {args.size[0]} x {args.size[1]}'
        spec = _spec(args, model, folder, 'measure', settings)
        ours = _run([sys.executable, __file__, '--side', json.dumps(spec)])
        _add(report, f'{title}, ours', ours)
        if (theirs := _meta(spec)) is not None:
            _add(report, f"{title}, Meta's", theirs)
            _compare(report, title, model, ours, theirs)


def _parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', nargs='+', choices=['tiny', 'vit_b'], default=['tiny'])
    parser.add_argument('--settings', nargs='+', default=['default', 'sa1b'])
    parser.add_argument('--size', nargs=2, type=int, default=[1500, 2250], help='height, width')
    parser.add_argument('--points_per_side', type=int, help='fewer points than the settings have')
    parser.add_argument(
        '--thresholds',
        nargs=2,
        type=float,
        default=[0.7, 0.85],
        help='predicted IoU and stability for the tiny model (default: %(default)s)',
    )
    parser.add_argument('--weights', type=pathlib.Path, help="Meta's .pth, in place of the models'")
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--repeat', type=int, default=1)
    _report.add_arguments(parser)
    parser.add_argument('--side', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _spec(args, model: str, folder: pathlib.Path, what: str, settings: str | None = None) -> dict:
    """What one process is told; the settings are those that both generators know."""
    from segment_anything_tfds.annotate import settings as settings_lib

    changes = {}
    if settings is not None:
        if args.points_per_side:
            changes['points_per_side'] = args.points_per_side
        chosen = settings_lib.get(settings, **changes).to_json()
        meta = settings_lib.get('default').to_json()
        ours = {'output_mode', 'mask_threshold', 'use_m2m', 'multimask_output', 'crops_per_batch'}
        ours |= {'max_mask_coverage', 'drop_small_masks', 'point_grids'}
        changes = {k: v for k, v in chosen.items() if k not in ours and v != meta[k]}
        if model == 'tiny':  # its scores are those of a small model
            iou, stability = args.thresholds
            changes |= {'pred_iou_thresh': iou, 'stability_score_thresh': stability}
    return {
        'do': what,
        'model': model,
        'weights': str(args.weights or folder / 'weights.pth'),
        'image': str(folder / 'image.npy'),
        'size': args.size,
        'settings': changes,
        'threads': args.threads,
        'repeat': args.repeat,
    }


def _run(command: list[str], **environment: str) -> dict:
    threads = {'OMP_NUM_THREADS': str(os.cpu_count()), 'TF_CPP_MIN_LOG_LEVEL': '3'}
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **threads, **environment}
    )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    return json.loads(done.stdout.splitlines()[-1])


def _meta(spec: dict) -> dict | None:
    import meta_reference

    found = meta_reference.find()
    if found is None:
        print("Meta's segment_anything is not at hand: see .ci/reference")
        return None
    path = os.pathsep.join([str(found[0]), str(HERE), str(HERE.parent / 'tests')])
    return _run([found[1], str(HERE / '_meta_generator.py'), json.dumps(spec)], PYTHONPATH=path)


def _ours(spec: dict) -> None:
    """Makes weights and image, or measures our generator; the last line is the result."""
    from segment_anything_tfds import annotate, training

    if spec['do'] == 'make':
        if not pathlib.Path(spec['weights']).exists():
            training.checkpoints.save(_make_model(spec['model']), spec['weights'])
        np.save(spec['image'], _make_image(spec['size']))
        print(json.dumps({}))
        return
    import _stages
    import keras

    model = training.checkpoints.load(spec['weights'])
    chosen = annotate.settings.get('default', **spec['settings'])
    generator = annotate.MaskGenerator(model, chosen)
    image = np.load(spec['image'])
    stages, calls = _stages.Stages(), generator._calls
    calls.encode = stages.timed_items('encode', calls.encode)
    calls.decode = stages.timed_items('decode', calls.decode)
    found = _stages.measure(lambda: generator.generate(image), stages, spec['repeat'])
    versions = {'keras': keras.__version__, 'backend': keras.backend.backend()}
    print(json.dumps({**found, **versions}))


def _make_image(size: list[int]) -> np.ndarray:
    import canvas
    import scenes

    return scenes.landscape(987_654, *size, next(iter(canvas.LIGHTS))).render()


def _make_model(name: str):
    from segment_anything_tfds import training

    if name == 'tiny':
        return training.tiny_sam()
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.SAMBackbone(
        image_encoder=keras_hub.models.ViTDetBackbone(
            hidden_size=768,
            num_layers=12,
            intermediate_dim=3072,
            num_heads=12,
            global_attention_layer_indices=[2, 5, 8, 11],
            num_output_channels=256,
            window_size=14,
            image_shape=(1024, 1024, 3),
        ),
        prompt_encoder=keras_hub.layers.SAMPromptEncoder(
            hidden_size=256, image_embedding_size=(64, 64), input_image_size=(1024, 1024)
        ),
        mask_decoder=keras_hub.layers.SAMMaskDecoder(
            num_layers=2,
            hidden_size=256,
            intermediate_dim=2048,
            num_heads=8,
            embedding_dim=256,
            iou_head_hidden_dim=256,
        ),
    )
    model = training.PromptableSegmenter(backbone)
    _let_masks_pass(model)
    return model


def _let_masks_pass(model) -> None:
    """Scores around the thresholds, and logits that are large and smooth, as a trained model's."""
    from segment_anything_tfds.training.sam import meta_names

    for tensor in meta_names.tensors(model.backbone):
        if tensor.name == 'mask_decoder.iou_prediction_head.layers.2.bias':
            tensor.write(np.full(tensor.shape, 0.88, np.float32))
        elif 'output_hypernetworks_mlps' in tensor.name and 'layers.2.weight' in tensor.name:
            tensor.write(100 * tensor.read())
        elif tensor.name in _ENLARGING:  # without it each cell of the grid shows a pattern of noise
            means = 2 * tensor.read().mean((2, 3), keepdims=True)
            tensor.write(np.broadcast_to(means, tensor.shape))


def _add(report: _report.Report, title: str, found: dict) -> None:
    for stage, wall in found['wall'].items():
        report.time(f'{title}: {stage}', _report.Cost(wall, found['cpu'][stage]))
    report.value(f'{title}: peak memory beyond the model, MiB', found['peak_bytes'] / 2**20)
    report.value(f'{title}: records', found['records'])


def _compare(report: _report.Report, title: str, model: str, ours: dict, theirs: dict) -> None:
    memory = ours['peak_bytes'] / theirs['peak_bytes']
    report.value(f"{title}: memory, ours / Meta's", memory, TARGETS['memory'])
    for stage, target in (('rest', 'rest'), ('all', f'image {model}')):
        costs = [_report.Cost(side['wall'][stage], side['cpu'][stage]) for side in (theirs, ours)]
        report.ratio(f"{title}: {stage}, Meta's / ours", *costs, TARGETS[target])


if __name__ == '__main__':
    sys.exit(main())
