"""The one thing that pyproject.toml cannot say beside finding packages: a wheel carries the folder checkpoints/ as
vtoon/checkpoints. What else there is to say is said there."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["vtoon", "vtoon.*"]), "vtoon.checkpoints"],
    package_dir={"vtoon.checkpoints": "checkpoints"},
)
