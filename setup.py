"""The packages: all that are found, and the folder prompts/ as zeroguide.prompts (data only).

Everything else is in pyproject.toml, which can't both find packages and map a folder.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["zeroguide*"]), "zeroguide.prompts"],
    package_dir={"zeroguide.prompts": "prompts"},
)
