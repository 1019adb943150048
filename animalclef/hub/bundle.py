"""Make the folder for machines without internet: weights, their digests, and on request packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import animalclef
from animalclef.errors import ConfigError, WeightsError
from animalclef.hub.cache import MANIFEST, locate
from animalclef.hub.catalogue import WEIGHTS, WeightsEntry
from animalclef.hub.download import NoDownloadError, pull
from animalclef.runtime.atomic_files import make_folder, write_text, write_with
from animalclef.runtime.digests import file_digest
from animalclef.runtime.output_guard import check_output
from animalclef.runtime.progress import Progress

__all__ = ["fetch_wheels", "make_bundle", "write_manifest"]

# What a hosted notebook may lack, without what these need: the rest is installed there (constraints-kaggle.txt).
_PACKAGES = ("colorlog", "faiss-cpu", "kornia", "kornia_rs", "optuna", "timm")
_EXTRAS: Mapping[str, tuple[str, ...]] = {"train": ("lightning-fabric", "lightning-utilities")}  # the same, of an extra
_PYTHONS = ("3.11", "3.12", "3.13")  # the notebook's Python is not the one that makes the bundle
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")


def make_bundle(
    names: Sequence[str],
    folder: Path,
    config: str | None,
    progress: Progress,
    *,
    wheels: bool,
    accept_terms: bool,
    extras: Sequence[str] = (),
) -> None:
    """Fill `folder` with the weights called `names`, a list with their digests, a README, and packages on request.

    Weights that are not on this machine are pulled; those that lie in the folder already are checked and kept. With
    `extras` such as "train" the packages are those of these extras, too. Nothing is written before all is fetched.

    Raises:
        WeightsError: weights are neither here nor to be had, those in the folder are other ones, or pip cannot fetch
            the packages.
        ConfigError: there is no such extra.
        OutputError: the folder has a README or a list that is not a bundle's, or cannot be written to.
    """
    packages = _packages(extras)
    check_output(folder / "README.md", "bundle's README")
    check_output(folder / MANIFEST, "list of weights")
    fetched = _fetched(names, folder, progress, accept_terms=accept_terms)
    with tempfile.TemporaryDirectory() as place:
        if wheels:
            fetch_wheels(Path(place), extras)
            make_folder(folder / "wheels")
        make_folder(folder)
        for source, name in (*fetched, *((wheel, f"wheels/{wheel.name}") for wheel in sorted(Path(place).iterdir()))):
            write_with(folder / name, partial(shutil.copyfile, source))
    write_manifest(folder)
    write_text(folder / "README.md", _readme(config, packages if (folder / "wheels").is_dir() else ()))


def _fetched(names: Sequence[str], folder: Path, progress: Progress, *, accept_terms: bool) -> list[tuple[Path, str]]:
    """Return where each file that the folder lacks is, and its name there; what is not on this machine is pulled."""
    fetched = []
    for number, name in enumerate(names):
        entry = WEIGHTS[name]
        if (folder / entry.file).is_file():
            _check_kept(entry, folder)
            continue
        try:
            fetched.append((pull(entry, accept_terms=accept_terms, progress=progress), entry.file))
        except NoDownloadError as error:
            absent = [one for one in names[number:] if locate(WEIGHTS[one], folder) is None]
            raise WeightsError(
                f"{folder} was not made: {', '.join(absent)} cannot be downloaded here ({error.reason}). Run the same "
                "command on a machine with internet, and copy the folder that it makes to this one."
            ) from error
    return fetched


def _packages(extras: Sequence[str]) -> tuple[str, ...]:
    if unknown := [one for one in extras if one not in _EXTRAS]:
        raise ConfigError(f"--extras {unknown[0]}: wheels are collected for the extra {' or '.join(_EXTRAS)} alone.")
    return (*_PACKAGES, *(package for one in dict.fromkeys(extras) for package in _EXTRAS[one]))


def write_manifest(folder: Path) -> None:
    """Write down what weights lie in a folder: file, digest, size, licence, source, by name."""
    listed = {}
    for name, entry in sorted(WEIGHTS.items()):
        found = locate(entry, folder)
        if found is not None and found.path.parent == folder:
            listed[name] = {
                "file": found.path.name,
                "sha256": file_digest(found.path),
                "size": found.path.stat().st_size,
                "licence": entry.licence,
                "source": entry.source,
                "revision": entry.revision,
            }
    content = {"animalclef": animalclef.__version__, "weights": listed}
    write_text(folder / MANIFEST, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _check_kept(entry: WeightsEntry, folder: Path) -> None:
    """Compare weights in the folder with the digest that its list states, or that is published."""
    found = locate(entry, folder)
    if found is not None and found.digest is not None and file_digest(found.path) != found.digest:
        raise WeightsError(
            f"{found.path}: its SHA-256 is not {found.digest[:16]}..., so it is damaged or another file. Remove it "
            "and run the same command again."
        )


def fetch_wheels(folder: Path, extras: Sequence[str] = ()) -> None:
    """Fill `folder` with the packages that a hosted notebook lacks, for Linux and each of its Pythons, and this one.

    Raises:
        WeightsError: pip cannot fetch them.
        ConfigError: there is no such extra.
    """
    root = Path(animalclef.__file__).resolve().parents[1]
    own = str(root) if (root / "pyproject.toml").is_file() else f"animalclef=={animalclef.__version__}"
    platforms = [part for name in _PLATFORMS for part in ("--platform", name)]
    fetch = ["download", "--only-binary", ":all:", "--dest", str(folder), *platforms]
    for command in (*([*fetch, "--python-version", version, *_packages(extras)] for version in _PYTHONS),
                    ["wheel", "--wheel-dir", str(folder), own]):  # fmt: skip
        line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *command, "--no-deps"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise WeightsError(
                f"pip could not fetch {command[-1]} and the like ({reason}), so nothing was written. Run the same "
                "command on a machine with internet."
            )


def _readme(config: str | None, packages: Sequence[str]) -> str:
    install = (
        "    !pip install --no-index --no-deps --find-links /kaggle/input/BUNDLE/wheels animalclef "
        f"{' '.join(packages)}\n"
    )
    given = f" --config {config}" if config else ""
    return (
        "# Weights for animalclef\n\n"
        "Upload this folder as a data set of your own, add it to the notebook, and with BUNDLE as its name:\n\n"
        f"{install if packages else ''}"
        f"    !animalclef predict{given} --weights /kaggle/input/BUNDLE --out submission.csv\n\n"
        f"`{MANIFEST}` holds source, licence and SHA-256 of every file; they are checked when the weights are loaded.\n"
        "Mind the licences: what states none, or is for non-commercial use, may not be passed on by everybody.\n"
    )
