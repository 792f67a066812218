#!/usr/bin/env python3
"""Holds the public face of the crates against docs/api, as their documentation under target/doc shows it.

A line that went is a breaking change, one that came is not; either is wanted by somebody, or a mistake. With --update it writes
what is there now. Another compiler's pages may tell the same in other words: then nothing is judged, and that is told.
"""

import html
import re
import subprocess
import sys
from pathlib import Path

CRATES = [
    "broker", "broker_cli", "broker_core", "broker_engine", "broker_inline", "broker_kafka", "broker_macros",
    "broker_rabbitmq",
    "broker_redis_common", "broker_redis_pubsub", "broker_redis_streams", "broker_testing", "broker_testkit", "broker_window",
]  # fmt: skip
TAG = re.compile(r"<[^>]*>")
BREAK = re.compile(r"</?div[^>]*>|<br ?/?>")
COMMENT = re.compile(r'<span class="comment">.*?</span>')
# An item's page ends its own methods, and then what it has of traits, with these headings.
TRAITS, SYNTHETIC = 'id="trait-implementations"', 'id="synthetic-implementations"'
HEADER = r'<h[34] class="code-header">(.*?)</h[34]>'


def text_of(fragment):
    """The words of a piece of a page, in one line."""
    return " ".join(html.unescape(TAG.sub("", BREAK.sub(" ", fragment))).split())


def lines_of(page):
    """The declaration, the methods and the traits of one item's page."""
    declared = re.search(r'<pre class="rust item-decl"><code>(.*?)</code></pre>', page, re.DOTALL)
    # A folded list has a line on top that says how long it is.
    declaration = re.sub(r"<summary.*?</summary>", "", declared[1], flags=re.DOTALL) if declared else ""
    declaration = text_of(COMMENT.sub("", declaration))
    is_trait = re.search(r"\btrait \w+[^{]*", declaration)
    yield is_trait[0] if is_trait else declaration
    own, _, rest = page.partition(TRAITS)
    for kind, part in re.findall(
        rf'<section id="(method|tymethod|associatedconstant|associatedtype)\.[^"]*"[^>]*>.*?{HEADER}', own, re.DOTALL
    ):
        yield ("required " if kind == "tymethod" else "") + text_of(part)
    for implemented in re.finditer(rf'<section id="impl-[^"]*"[^>]*>.*?{HEADER}', rest.partition(SYNTHETIC)[0], re.DOTALL):
        yield text_of(implemented[1])


def face_of(folder):
    """Each line of a crate's public face, in order."""
    crate, lines = folder.name, set()
    for page in re.findall(r'<li><a href="([^"]*\.html)"', (folder / "all.html").read_text()):
        *modules, file = page.split("/")
        _, name, _ = file.split(".")
        path = "::".join([crate, *modules, name])
        # The facade shows what the other crates are; its own are the names.
        known = [""] if crate == "broker" else lines_of((folder / page).read_text())
        lines.update(f"{path}: {line}".rstrip(": ") for line in known)
    index = (folder / "index.html").read_text()
    lines.update(f"{crate}: {text_of(line)}" for line in re.findall(r"<code>(pub use .*?)</code>", index))
    return sorted(lines)


def prove_that_lines_are_found():
    """A check that finds nothing must be one that could have."""
    page = (
        '<pre class="rust item-decl"><code>pub struct <a>A</a>&lt;T&gt; { <span class="comment">/* private */</span> }</code></pre>'
        '<section id="method.new" class="method"><h4 class="code-header">pub fn <a>new</a>() -&gt; Self</h4></section>'
        '<h2 id="trait-implementations"></h2><section id="impl-Clone-for-A" class="impl"><h3 class="code-header">impl Clone for A</h3>'
        '<h2 id="synthetic-implementations"></h2><section id="impl-Send-for-A"><h3 class="code-header">impl Send for A</h3>'
    )
    assert list(lines_of(page)) == ["pub struct A<T> { }", "pub fn new() -> Self", "impl Clone for A"]


def main():
    prove_that_lines_are_found()
    root = Path(__file__).resolve().parents[2]
    compiler = " ".join(subprocess.run(["rustdoc", "--version"], check=True, capture_output=True, text=True).stdout.split()[:2])
    folder, update, faults, missing = root / "docs/api", "--update" in sys.argv, 0, []
    for crate in CRATES:
        file, now = folder / f"{crate}.txt", face_of(root / "target/doc" / crate)
        assert len(now) > 0, f"{crate} has no public face"
        if update:
            folder.mkdir(exist_ok=True)
            file.write_text("\n".join([f"# as {compiler} shows it", *now]) + "\n")
            continue
        if not file.exists():
            missing.append(crate)
            continue
        head, *then = file.read_text().splitlines()
        if head != f"# as {compiler} shows it":
            print(f"NOT COMPARED: the public face of {crate}: it is stored {head[2:]}, and this is {compiler}")
            continue
        gone, new = sorted(set(then) - set(now)), sorted(set(now) - set(then))
        faults += len(gone) + len(new)
        for line in [f"gone: {line}" for line in gone] + [f"new: {line}" for line in new]:
            print(line, file=sys.stderr)
    if missing:
        print(f"NOT COMPARED: nothing is kept of the public face of {', '.join(missing)}; python3 scripts/checks/public_api.py --update keeps it")
    if faults:
        print(
            "the public face is not what docs/api has; what is meant is kept by python3 scripts/checks/public_api.py --update, and what "
            "users have to change for it stands in the changelog",
            file=sys.stderr,
        )
    sys.exit(1 if faults else 0)


main()
