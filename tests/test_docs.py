"""The documents say what the code does."""

import re
import runpy
from pathlib import Path

from commands.words import all_words
from ops.guard import GUARD_KEY
from ops.guard import MIGRATING_KEY
from ops.status import diagram

ROOT = Path(__file__).resolve().parent.parent


def test_the_status_diagram_is_printed_from_the_transition_table() -> None:
    assert diagram() in (ROOT / "docs/design.md").read_text()


def test_the_lock_keys_are_documented() -> None:
    design = (ROOT / "docs/design.md").read_text()

    assert str(GUARD_KEY) in design
    assert str(MIGRATING_KEY) in design


def test_the_readme_lists_every_word() -> None:
    readme = (ROOT / "README.md").read_text()
    listed = {match[1] for match in re.finditer(r"^\| `([a-z]+)", readme, re.MULTILINE)}

    assert listed == set(all_words())


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_picture_of_the_route_is_the_one_that_is_drawn() -> None:
    drawn = runpy.run_path(str(ROOT / "docs/make_route_picture.py"))["picture"]()

    assert (ROOT / "docs/route.svg").read_text() == drawn


def test_no_document_names_a_path_of_somebodys_machine() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.yaml")]:
        assert not re.search(r"/root/|/home/[a-z]|/work/", document.read_text()), document.name
