"""Sphinx configuration. Build with ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import fasthde

# ---------------------------------------------------------------------------------------------- the project

project = "fasthde"
author = "The fasthde developers"
copyright = "The fasthde developers"
release = fasthde.__version__
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]

root_doc = "index"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "_templates", "examples", "gallery/**/*.py", "gallery/**/*.ipynb"]
templates_path = ["_templates"]
nitpicky = False

# single backticks in docstrings name objects of the package
default_role = "py:obj"

# ---------------------------------------------------------------------------------------------- API reference

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# ---------------------------------------------------------------------------------------------- pages

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# ---------------------------------------------------------------------------------------------- gallery

warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive", category=UserWarning)

sphinx_gallery_conf = {
    "examples_dirs": ["examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("fasthde",),
    "image_scrapers": ("matplotlib",),
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "abort_on_example_error": False,
    "plot_gallery": "True",
}

# ---------------------------------------------------------------------------------------------- output

html_theme = "pydata_sphinx_theme"
html_title = f"fasthde {release}"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_depth": 2,
    "show_nav_level": 1,
    "header_links_before_dropdown": 7,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {
    "index": [],
    "getting_started": [],
    "theory": [],
    "conventions": [],
    "changelog": [],
}


def _check_reference(app):
    """Warn, so that the build fails, when a public name is missing from the reference."""
    from sphinx.util import logging

    listed = (Path(__file__).parent / "reference.md").read_text(encoding="utf-8")
    words = {word for line in listed.splitlines() for word in [line.strip(), line.strip().split(".")[0]]}
    for name in sorted(set(fasthde._PUBLIC) - words):
        logging.getLogger(__name__).warning("fasthde.%s is missing from reference.md", name)


def setup(app):
    app.connect("builder-inited", _check_reference)
