"""Settings of the documentation: `python -m sphinx -W -n docs docs/_build/html` builds it, offline."""

import os
import pathlib
import sys

DOCS = pathlib.Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / '_site')]
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')
os.environ.setdefault('EPATH_USE_TF', 'false')  # one tutorial reads S3
# Tutorials and the gallery run in processes of their own: what they import is this checkout.
os.environ['PYTHONPATH'] = os.pathsep.join([str(DOCS.parent), os.environ.get('PYTHONPATH', '')])

import docstrings
import pages

import segment_anything_tfds as sa1b

project = 'segment_anything_tfds'
author = 'The segment_anything_tfds authors'
copyright = author
version = release = sa1b.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
    'sphinx_gallery.gen_gallery',
    'pages',
    'docstrings',
    'values',
]
exclude_patterns = [
    '_build',
    '_site',
    'tutorials/*',
    'gallery/*',
    'notebooks/*',
    '**/sg_execution_times.rst',
    'sg_execution_times.rst',
]

# Pages.
myst_enable_extensions = ['colon_fence', 'deflist', 'fieldlist']
myst_heading_anchors = 3
suppress_warnings = ['config.cache']

# Python, from docstrings. They are written for people who read the source: `name` is code there.
default_role = 'code'
autodoc_typehints = 'signature'
autodoc_member_order = 'bysource'
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
autodoc_inherit_docstrings = False
nitpick_ignore_regex = [(r'py:.*', pattern) for pattern in docstrings.OTHERS]

# Tutorials and pictures: scripts that run while the site is built.
sphinx_gallery_conf = pages.gallery_settings(DOCS)

html_theme = 'furo'
html_title = 'segment_anything_tfds'
html_static_path = ['_static']
html_css_files = ['site.css']
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {'navigation_with_keys': True, 'top_of_page_buttons': []}
copybutton_prompt_text = r'>>> |\.\.\. |\$ '
copybutton_prompt_is_regexp = True
