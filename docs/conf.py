"""Sphinx's settings.  `sphinx-build -W --keep-going -n -b html docs docs/_build/html` needs no network."""

import fastops

project = "fastops"
author = "The fastops developers"
copyright = "The fastops developers, BSD-3-Clause"
version = release = fastops.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "numpydoc", "myst_parser"]
exclude_patterns = ["_build"]
root_doc = "index"
language = "en"  # with en_GB the script of the search fails on its own status line (Sphinx 9.0)
nitpicky = True
highlight_language = "text"  # of blocks that are neither Python with prompts nor say their language

# ---------------------------------------------------------------------------------------------- docstrings

default_role = "py:obj"  # what docstrings mean by single backticks; a name that is not documented is a warning
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections say the types, in words that a person reads
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 120  # a longer signature gets a line for each argument
python_trailing_comma_in_multi_line_signatures = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# All of numpydoc's checks but these: a summary of one line is enough, and sees nothing else to see (ES01, SA01);
# "input, weight : As conv2d had them" names no type (PR04); shapes and formulas begin as they are written, in small
# letters (PR08, RT04, RT05, SS02); a gradient's name says what is returned beside its shape (RT02, RT03).
numpydoc_validation_checks = {
    "all", "ES01", "SA01", "PR04", "PR08", "RT02", "RT03", "RT04", "RT05", "SS02", "SS06", "GL01",
}  # fmt: skip
# Methods of layers are described in words; Module's page has them once for all layers. Networks and profiles come from
# functions: nobody gives their classes anything.
numpydoc_validation_exclude = {
    r"\.nn\.(mindspore\.)?[A-Z]\w*\.\w+$", r"^fastops\.nn(\.mindspore)?$", r"\.onnx\.[A-Z]\w*(\.\w+)?$",
}  # fmt: skip

# ------------------------------------------------------------------------------------------------ Markdown

source_suffix = {".rst": "restructuredtext"}  # CHANGELOG.md and CONTRIBUTING.md are included by pages of their own
myst_heading_anchors = 3

# ---------------------------------------------------------------------------------------------------- pages

html_theme = "pydata_sphinx_theme"
html_title = f"fastops {release}"
html_static_path = ["_static"]
html_css_files = ["fastops.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # the script would fetch pages, which browsers refuse where these are files
html_last_updated_fmt = None
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
alone = (
    "index", "getting-started", "networks", "performance", "torch", "dask", "adding-an-operator", "dashboards",
    "contributing", "changelog",
)  # fmt: skip
html_sidebars = dict.fromkeys(alone, ())  # pages without others beside them in their section
