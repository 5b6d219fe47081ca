"""Installs `segment_anything_tfds`: SA-1B for TensorFlow Datasets."""

import pathlib

import setuptools

README = pathlib.Path(__file__).parent / 'README.md'

EXTRAS = {
    'gcp': ['apache-beam[gcp]'],
    'training': ['keras>=3.5', 'keras-hub'],
    'export': ['webdataset'],
    'report': ['matplotlib'],
    'test': ['hypothesis', 'pytest', 'pytest-xdist', 'ruff'],
}

setuptools.setup(
    name='segment-anything-tfds',
    version='1.0.0',
    description='SA-1B for TensorFlow Datasets: a builder, and COCO RLE masks in the input graph.',
    long_description=README.read_text(encoding='utf-8') if README.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=setuptools.find_packages(include=['segment_anything_tfds', 'segment_anything_tfds.*']),
    package_data={'segment_anything_tfds': ['README.md', 'CITATIONS.bib', 'TAGS.txt']},
    install_requires=[
        'apache-beam',
        'etils[epath]',
        'importlib_resources',
        'numpy',
        'pillow',
        'pycocotools',
        'requests',
        'tensorflow',
        'tensorflow-datasets>=4.9.7',
        'tqdm',
    ],
    extras_require=EXTRAS,
    entry_points={'console_scripts': ['sa1b = segment_anything_tfds.cli.main:main']},
)
