#!/usr/bin/env python3
"""Holds the public face of the crates against docs/api, as their documentation under target/doc shows it.

Each difference is told as breaking or as an addition; either is wanted by somebody, or a mistake. A breaking one needs a version
that users of the last release don't get by themselves. With --update it writes what is there now, unless the version forbids it.
Another compiler's pages may tell the same in other words: then nothing is judged, and that is told.
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


def item_of(line):
    """What a line is about, so that its old form and its new one meet: a place, and a name there."""
    place, _, what = line.partition(": ")
    member = re.match(r"(?:required )?(?:pub )?(?:const |async |unsafe )*(fn \w+|const \w+|type \w+)", what)
    declares = re.search(r"\b(?:struct|enum|union|trait|static|macro_rules!) \w+", what)
    if what.startswith("impl") or "pub use" in what or not (member or declares):
        return line
    return f"{place}: {member[1] if member else declares[0]}"


def has_grown(old, new):
    """Whether a declaration that says it may grow has all that it had, in order, and more."""
    rest = iter(new.split())
    return "#[non_exhaustive]" in old and all(word in rest for word in old.split())


def differences(then, now):
    """What differs between two faces: (whether it breaks who uses or implements it, a line for people)."""
    forms = {}
    for side, lines in enumerate([set(then) - set(now), set(now) - set(then)]):
        for line in sorted(lines):
            forms.setdefault(item_of(line), ([], []))[side].append(line)
    for _, (gone, new) in sorted(forms.items()):
        if len(gone) == len(new) == 1:
            yield not has_grown(gone[0], new[0]), f"changed: {gone[0]}\n     to: {new[0]}"
            continue
        for line in gone:
            yield True, f"gone: {line}"
        for line in new:
            # Whoever implements a trait has to write what it requires.
            yield ": required " in line, f"new: {line}"


def forbids_breaking(version, released):
    """Whether users of `released` get `version` by themselves, so that it may not break them."""
    if released is None:
        return False
    major, minor = (int(part) for part in version.split(".")[:2])
    old_major, old_minor = (int(part) for part in released.split(".")[:2])
    return major == old_major and (major > 0 or minor == old_minor)


def prove_that_differences_are_told():
    """A check that finds nothing must be one that could have."""
    page = (
        '<pre class="rust item-decl"><code>pub struct <a>A</a>&lt;T&gt; { <span class="comment">/* private */</span> }</code></pre>'
        '<section id="method.new" class="method"><h4 class="code-header">pub fn <a>new</a>() -&gt; Self</h4></section>'
        '<h2 id="trait-implementations"></h2><section id="impl-Clone-for-A" class="impl"><h3 class="code-header">impl Clone for A</h3>'
        '<h2 id="synthetic-implementations"></h2><section id="impl-Send-for-A"><h3 class="code-header">impl Send for A</h3>'
    )
    assert list(lines_of(page)) == ["pub struct A<T> { }", "pub fn new() -> Self", "impl Clone for A"]
    told = differences(
        ["c::A: pub fn a()", "c::A: pub fn b()", "c::E: #[non_exhaustive] pub enum E { X, }", "c::A: impl Clone for A"],
        ["c::A: pub fn b(n: u8)", "c::E: #[non_exhaustive] pub enum E { W, X, }", "c::A: pub fn d()", "c::T: required fn e()"],
    )
    assert [breaking for breaking, _ in told] == [True, True, False, True, False, True]
    assert forbids_breaking("0.1.9", "0.1.0") and forbids_breaking("1.2.0", "1.1.0") and not forbids_breaking("0.1.0", None)
    assert not forbids_breaking("0.2.0", "0.1.9") and not forbids_breaking("2.0.0", "1.9.9")


def main():
    prove_that_differences_are_told()
    root = Path(__file__).resolve().parents[2]
    version = re.search(r'^\[workspace\.package\]\nversion = "([^"]*)"', (root / "Cargo.toml").read_text(), re.MULTILINE)[1]
    heading = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = heading[1] if heading else None
    compiler = " ".join(subprocess.run(["rustdoc", "--version"], check=True, capture_output=True, text=True).stdout.split()[:2])
    folder, update, missing, faces, told = root / "docs/api", "--update" in sys.argv, [], {}, []
    for crate in CRATES:
        faces[crate] = face_of(root / "target/doc" / crate)
        assert len(faces[crate]) > 0, f"{crate} has no public face"
        file = folder / f"{crate}.txt"
        if not file.exists():
            missing.append(crate)
            continue
        head, *then = file.read_text().splitlines()
        if head == f"# as {compiler} shows it":
            told.extend(differences(then, faces[crate]))
        elif not update:
            print(f"NOT COMPARED: the public face of {crate}: it is stored {head[2:]}, and this is {compiler}")
    breaking = [line for breaks, line in told if breaks]
    for line in [f"breaking, {line}" for line in breaking] + [f"addition, {line}" for breaks, line in told if not breaks]:
        print(line, file=sys.stderr)
    if breaking and forbids_breaking(version, released):
        major, minor = (int(part) for part in released.split(".")[:2])
        sys.exit(
            f"{len(breaking)} breaking changes since {released}, and version {version} promises none: give the old form back, or raise "
            f"the version in the root Cargo.toml to {f'{major + 1}.0.0' if major else f'0.{minor + 1}.0'}"
        )
    if update:
        folder.mkdir(exist_ok=True)
        for crate, now in faces.items():
            (folder / f"{crate}.txt").write_text("\n".join([f"# as {compiler} shows it", *now]) + "\n")
        return
    if missing:
        print(f"NOT COMPARED: nothing is kept of the public face of {', '.join(missing)}; python3 scripts/checks/public_api.py --update keeps it")
    if told:
        sys.exit(
            "the public face is not what docs/api has; what is meant is kept by python3 scripts/checks/public_api.py --update, and what "
            "users have to change for it stands in the changelog"
        )


main()
