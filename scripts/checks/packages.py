#!/usr/bin/env python3
"""Holds what each published crate carries: metadata, licences, a README with its features as the manifest explains them.

With --update it writes the features into the READMEs.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

BEGIN, END = "<!-- features: from Cargo.toml -->\n", "<!-- features end -->"


def features_of(manifest):
    """The features of a manifest's text, as (name, what the comment above it says)."""
    table = re.search(r"^\[features\]\n(.*?)(?=^\[[a-z]|\Z)", manifest, re.DOTALL | re.MULTILINE)
    comment = []
    for line in (table[1] if table else "").splitlines():
        if line.startswith("# "):
            comment.append(line[2:])
        elif feature := re.match(r"([\w-]+) = ", line):
            yield feature[1], " ".join(comment)
            comment = []


def table_of(manifest, defaults):
    """The features as a table in Markdown; empty where there are none."""
    rows = [
        f"| `{name}` | {'yes' if name in defaults else ''} | {says} |\n"
        for name, says in features_of(manifest)
        if name != "default"
    ]
    return "\n| feature | by default | what |\n|---|---|---|\n" + "".join(rows) + "\n" if rows else ""


def with_table(readme, table):
    """The README's text with the table in its place, or None where there is no place."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + begin + table + end + after if begin and end else None


def faults_of(package, update):
    folder = Path(package["manifest_path"]).parent
    for field in ["description", "license", "repository", "rust_version", "keywords", "categories", "readme"]:
        if not package[field]:
            yield f"has no {field}"
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"]:
        if not (folder / licence).is_file():
            yield f"has no {licence}"
    if not package["readme"]:
        return
    file = folder / package["readme"]
    if not file.is_file():
        yield f"names {package['readme']}, which is not there"
        return
    manifest = (folder / "Cargo.toml").read_text()
    for name, says in features_of(manifest):
        if name != "default" and not says:
            yield f"does not say above feature `{name}` what it is"
    table = table_of(manifest, package["features"].get("default", []))
    fresh = with_table(file.read_text(), table) if table else file.read_text()
    if fresh is None:
        yield f"{file.name} has no place for the features: {BEGIN.strip()} and {END}"
    elif fresh != file.read_text():
        if update:
            file.write_text(fresh)
        else:
            yield f"{file.name} has stale features; python3 scripts/checks/packages.py --update writes them"


def prove_that_faults_are_found():
    """A check that finds nothing must be one that could have."""
    manifest = '[features]\ndefault = ["b"]\n# Does A,\n# and well.\na = []\n# Does B.\nb = [\n    "a",\n]\n[dependencies]\nc = "1"\n'
    assert list(features_of(manifest)) == [("default", ""), ("a", "Does A, and well."), ("b", "Does B.")]
    table = table_of(manifest, ["b"])
    assert "| `a` |  | Does A, and well. |\n| `b` | yes | Does B. |\n" in table, table
    assert with_table(f"x\n{BEGIN}old{END}\ny\n", table) == f"x\n{BEGIN}{table}{END}\ny\n"
    assert with_table("x\n", table) is None


def main():
    prove_that_faults_are_found()
    root = Path(__file__).resolve().parents[2]
    metadata = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=root, check=True, capture_output=True
    )
    packages = [package for package in json.loads(metadata.stdout)["packages"] if package["publish"] != []]
    faults = [f"{package['name']}: {fault}" for package in packages for fault in faults_of(package, "--update" in sys.argv)]
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    sys.exit(1 if faults else 0)


main()
