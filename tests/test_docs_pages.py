"""The pages of docs/ and the README are complete, current, and linked rightly."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import animalclef

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(DOCS.rglob("*.md"))
README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_fits_a_few_screens() -> None:
    assert len(README.splitlines()) <= 150


def test_the_house_in_the_readme_is_the_house() -> None:
    for folder in sorted(path.name for path in (ROOT / "animalclef").iterdir() if (path / "__init__.py").is_file()):
        assert re.search(rf"\b{folder}/", README), folder
    for name in re.findall(r"^      (\w+\.py)", README, flags=re.MULTILINE):
        assert (ROOT / "animalclef" / name).is_file(), name


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", DOCS / "faq.md"], ids=lambda page: page.stem
)
def test_named_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text("utf-8"), flags=re.MULTILINE)
    assert targets
    assert [one for one in targets if not re.search(rf"^{one}:", makefile, flags=re.MULTILINE)] == []


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(goal), f"{page.name}: {target}"


def test_every_page_is_in_the_navigation() -> None:
    content = (ROOT / "mkdocs.yml").read_text("utf-8")
    listed = set(re.findall(r": ([\w/-]+\.md)$", content, flags=re.MULTILINE))
    assert listed >= {page.name for page in DOCS.glob("*.md")}  # pages of the lab notebook are linked from its first
    assert [name for name in listed if not (DOCS / name).is_file()] == []
    lab = (DOCS / "lab" / "index.md").read_text("utf-8")
    assert [page.name for page in (DOCS / "lab").glob("*.md") if page.name != "index.md" and page.name not in lab] == []
    assert yaml.safe_load(content)["theme"]["font"] is False  # nothing is fetched from elsewhere


def test_the_settings_page_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(DOCS)])
    import settings_reference

    assert (DOCS / "settings.md").read_text("utf-8") == settings_reference.page(), "run `make settings`"


def test_the_costs_of_large_catalogues_are_the_output_of_their_script() -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "cluster_cost.py")]
    printed = subprocess.run(script, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    page = (DOCS / "scale.md").read_text("utf-8")
    for table in printed.strip().split("\n\n"):
        assert table in page, table


def test_the_outputs_page_names_every_file_and_column(tiny_run: tuple[Path, Path]) -> None:
    page, run = (DOCS / "outputs.md").read_text("utf-8"), tiny_run[1]
    made = [item.name for item in run.iterdir() if item.name != "unreadable"]  # a fixture's own
    assert [name for name in made if f"`{name}`" not in page] == []
    for table in sorted(run.glob("*.csv")):
        with table.open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file))
        assert [name for name in header if f"`{name}`" not in page] == [], table.name


def test_the_glossary_explains_the_words() -> None:
    page = (DOCS / "glossary.md").read_text("utf-8")
    words = "AMI, ARI; BAKS; BAUS; Calibration; Encounter; Inlier; LNBNN; Nested validation; Open set; Optimism"
    for word in [*words.split("; "), "Plateau", "Pseudo-query", "Shortlist"]:
        assert f"**{word}" in page, word


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    latest = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)[0]
    assert project["version"] == citation["version"] == latest == animalclef.__version__


def test_the_hosted_checks_are_those_of_the_makefile() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    targets = {step["run"].removeprefix("make ") for job in jobs.values() for step in job["steps"] if "run" in step}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert [one for one in targets if not re.search(rf"^{one}:", makefile, flags=re.MULTILINE)] == []
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    named = {one.rpartition(" ")[2] for one in classifiers if re.search(r":: 3\.\d+$", one)}
    assert set(jobs["test"]["strategy"]["matrix"]["python"]) == named == {"3.11", "3.12", "3.13"}
