"""Builds the documentation: ``make docs``."""

from __future__ import annotations

import os
import tempfile

# Importing Airflow makes its home: not in that of whoever builds.
_home = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ |= {"AIRFLOW_HOME": _home.name, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

from airflow_provider_sptasks import __version__  # noqa: E402

project = "airflow-provider-sptasks"
author = "the authors of airflow-provider-sptasks"
project_copyright = f"{author}, Apache License 2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
# A link that leads nowhere is an error. These names are other projects', or the package's own business.
nitpicky = True
_OTHERS = (
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "Context",
    "PokeReturnValue",
    "XComArg",
    "timedelta",
)
_OWN = (
    "NotGiven",
    "airflow_provider_sptasks.client.budget.Budget",
    "airflow_provider_sptasks.client.retry.T",
    "airflow_provider_sptasks.client.transport.Transport",
    "airflow_provider_sptasks.client.versions.ApiVersion",
    "airflow_provider_sptasks.emulator.scenario.Batch",
    "airflow_provider_sptasks.emulator.sources.Plan",
    "airflow_provider_sptasks.emulator.state.State",
    "tuple[str",  # a piece of an annotation that Sphinx cuts in the wrong place
)
nitpick_ignore_regex = [
    ("py:.*", r"(airflow|collections|datetime|os|pathlib|pendulum|requests|tenacity|threading)(\..*)?")
]
nitpick_ignore = [(role, name) for name in (*_OTHERS, *_OWN) for role in ("py:class", "py:exc")]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 160

html_theme = "furo"
html_title = f"SailPoint in Airflow {release}"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["_static"]
html_css_files = ["pages.css"]
copybutton_exclude = ".linenos, .gp, .go"
