#!/usr/bin/env python3
"""Holds the book together: each page is in the summary, and each link, anchor, include and picture leads somewhere."""

import re
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
INCLUDE = re.compile(r"\{\{#include ([^}:]+)(?::([\w-]+))?\}\}")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def expanded(page):
    """A page's text with its includes put in, as mdBook does; raises ValueError where one leads nowhere."""
    def put_in(match):
        path, anchor = page.parent / match[1], match[2]
        if not path.is_file():
            raise ValueError(f"includes {match[1]}, which is not there")
        text = path.read_text()
        if not anchor:
            return text
        part = re.search(rf"ANCHOR: {anchor}\b[^\n]*\n(.*?)(?:[^\n]*ANCHOR_END: {anchor}\b|\Z)", text, re.DOTALL)
        if not part:
            raise ValueError(f"includes the anchor {anchor} of {match[1]}, which is not there")
        return part[1]
    return INCLUDE.sub(put_in, page.read_text())


def anchors(text):
    """The names of a page's headings, as mdBook and GitHub make them."""
    names = set()
    for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE):
        name = re.sub(r"[^\w\s-]", "", heading.replace("`", "").lower()).strip().replace(" ", "-")
        names.add(name if name not in names else f"{name}-1")
    return names


def faults_of(source):
    """Every fault of the book below `source`, as (page, fault)."""
    summary = source / "SUMMARY.md"
    listed = {(source / link).resolve() for link in LINK.findall(summary.read_text())}
    pages = sorted(page for page in source.rglob("*.md") if page != summary)
    texts = {}
    for page in pages:
        if page.resolve() not in listed:
            yield page, "is not in SUMMARY.md"
        try:
            texts[page.resolve()] = expanded(page)
        except ValueError as fault:
            yield page, str(fault)
    for missing in sorted(listed - {page.resolve() for page in pages}):
        yield summary, f"lists {missing.name}, which is not there"
    for page in pages:
        text = texts.get(page.resolve(), "")
        if text.count("\n```") % 2 and not text.startswith("```"):
            yield page, "has a fence that is not closed"
        for fence in FENCE.findall(text):
            if fence.startswith("```\n"):
                yield page, f"has a fence without a language: {fence.splitlines()[1]}"
        yield from ((page, fault) for fault in broken_links(page, FENCE.sub("", text), texts))
    used = "".join(texts.values())
    for picture in sorted((source / "images").glob("*")):
        if f"images/{picture.name}" not in used:
            yield picture, "is shown on no page"
        try:
            xml.parse(picture)
        except xml.ParseError as fault:
            yield picture, f"is no SVG: {fault}"


def broken_links(page, text, texts):
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page.resolve()
        if not target.exists():
            yield f"links to {link}, which is not there"
        elif anchor and anchor not in anchors(texts.get(target, "")):
            yield f"links to {link}, and no heading is called so"


def prove_that_faults_are_found():
    """A check that finds nothing must be one that could have."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        (source / "images").mkdir()
        (source / "images/lost.svg").write_text("<svg/>")
        (source / "SUMMARY.md").write_text("[One](one.md)\n[Gone](gone.md)\n")
        (source / "one.md").write_text("# One\n\n[a](two.md#no-heading) [b](nowhere.md) [c](#one)\n```\nplain\n```\n")
        (source / "two.md").write_text("# Two\n\n{{#include nothing.md}}\n")
        found = [fault for _, fault in faults_of(source)]
        assert len(found) == 7, found


def main():
    prove_that_faults_are_found()
    root = Path(__file__).resolve().parents[2]
    faults = list(faults_of(root / "docs/src"))
    for page, fault in faults:
        print(f"{page.relative_to(root)}: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
