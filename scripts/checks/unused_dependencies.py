#!/usr/bin/env python3
"""Finds dependencies that a package declares and no source of it mentions, as cargo-machete does, without its build."""

import json
import re
import subprocess
import sys
from pathlib import Path

from rust_source import code_of

# Where a dependency of each kind can be used.
FOLDERS = {None: ["src"], "dev": ["src", "tests", "examples", "benches"], "build": ["build.rs"]}


def mentions(name, text):
    """Whether a text uses the crate `name`."""
    name = re.escape(name.replace("-", "_"))
    return re.search(rf"(?<!::)\b{name}\s*::|\buse\s+{name}\b|\bextern\s+crate\s+{name}\b", text) is not None


def text_of(folder, kind):
    """All that could mention a dependency of this kind; documentation examples are built as tests are."""
    text = ""
    for place in FOLDERS[kind]:
        path = folder / place
        files = [path] if path.is_file() else sorted(path.rglob("*.rs"))
        for file in files:
            source = file.read_text()
            text += source if kind == "dev" else code_of(source)
            for included in re.findall(r'include_str!\("([^"]+\.md)"\)', source) if kind == "dev" else []:
                text += (file.parent / included).read_text()
    return text


def unused_of(package):
    folder = Path(package["manifest_path"]).parent
    for dependency in package["dependencies"]:
        name = dependency["rename"] or dependency["name"]
        if not mentions(name, text_of(folder, dependency["kind"])):
            yield f"{package['name']}: `{name}` is declared and never used"


def unused_of_table(root, packages):
    """Entries of the workspace's table that no member takes; its own crates may be for others alone."""
    table = re.search(r"^\[workspace\.dependencies\]\n(.*?)^\[", (root / "Cargo.toml").read_text(), re.DOTALL | re.MULTILINE)
    taken = {dependency["name"] for package in packages for dependency in package["dependencies"]}
    for name, value in re.findall(r"^([\w-]+)\s*=(.*)", table[1], re.MULTILINE):
        if name not in taken and "path =" not in value:
            yield f"Cargo.toml: `{name}` stands in the workspace's table and no member takes it"


def main():
    assert mentions("serde-json", "serde_json::from_str") and mentions("bytes", "pub use bytes as b;")
    assert not mentions("bytes", "self::bytes::X") and not mentions("bytes", "let bytes = 1;")
    root = Path(__file__).resolve().parents[2]
    metadata = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=root, check=True, capture_output=True
    )
    packages = json.loads(metadata.stdout)["packages"]
    unused = [line for package in packages for line in unused_of(package)]
    unused += unused_of_table(root, packages)
    print("\n".join(unused), file=sys.stderr, end="\n" if unused else "")
    sys.exit(1 if unused else 0)


main()
