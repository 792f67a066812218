"""Reads Rust sources as far as the checks need it: code without comments, and the paths it mentions."""

import re

# A literal or a comment, whichever begins first; lifetimes are left alone.
_COMMENT_OR_TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(\#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'""", re.DOTALL
)
_USE = re.compile(r"\buse\s+([^;]+);")
_INLINE = re.compile(r"(?<![\w:])(?:[A-Za-z_]\w*\s*::\s*)+[A-Za-z_]\w*")


def code_of(text):
    """The code of a source text: comments go, literals become empty."""
    return _COMMENT_OR_TEXT.sub(lambda match: " " if match[0].startswith("/") else '""', text)


def paths_of(code):
    """Every path the code mentions, as lists of segments; `use a::{b, c::d}` gives two."""
    for use in _USE.finditer(code):
        yield from _expand(use[1].strip())
    for path in _INLINE.finditer(_USE.sub(" ", code)):
        yield re.split(r"\s*::\s*", path[0])


def _expand(tree, prefix=()):
    tree = re.sub(r"\s+as\s+\w+\s*$", "", tree.strip()).removeprefix("::")
    brace = tree.find("{")
    if brace < 0:
        yield [*prefix, *re.split(r"\s*::\s*", tree)]
        return
    head = [segment for segment in re.split(r"\s*::\s*", tree[:brace].strip()) if segment]
    for part in _split(tree[brace + 1 : tree.rindex("}")]):
        yield from _expand(part, (*prefix, *head))


def _split(text):
    """Splits at the commas that stand in no brace."""
    depth, part = 0, ""
    for char in text:
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            yield part
            part = ""
        else:
            part += char
    if part.strip():
        yield part
