#!/usr/bin/env python3
"""Holds the arrows between the rooms: who may import what. CONTRIBUTING.md draws them."""

import re
import sys
from pathlib import Path

from rust_source import code_of, paths_of

# The rooms of broker-core; each imports only from itself and from those before it.
ROOMS = ["values", "config", "base", "registry", "broker"]
# What broker-core exports at its root from another room than `values`.
AT_ROOT = {"Broker": "broker", "Brokers": "broker", "Publisher": "broker", "Subscription": "broker"}
# The port must not know a client.
CLIENTS = {"amqprs", "fred", "kafka", "lapin", "rdkafka", "redis", "rskafka"}
# What several adapters share is bound as an adapter is.
SHARED_BY_ADAPTERS = {"broker-redis-common", "broker-window"}
# What an adapter builds on is `broker-core`, and at most such a shared crate.
ABOVE_ADAPTERS = {"broker", "broker-cli", "broker-engine", "broker-macros", "broker-testing", "broker-testkit"}
# Plain data: no I/O, no runtime.
NOT_IN_VALUES = {("tokio",), ("std", "fs"), ("std", "net"), ("std", "process")}


def room_of(path, here):
    """The room of broker-core that a path leads to, seen from the module `here`; None for other crates."""
    path = list(path)
    if path[0] == "super":
        base = list(here)
        while path and path[0] == "super" and base:
            base.pop()
            path.pop(0)
        path = ["crate", *base, *path]
    if path[0] not in ("crate", "broker_core") or len(path) < 2:
        return None
    return path[1] if path[1] in ROOMS else AT_ROOT.get(path[1], "values")


def core_faults(file, text):
    """The imports of one file of broker-core, named from `src`, that go against the order of the rooms."""
    room = file.parts[0]
    here = [*file.parts[:-1]] + ([] if file.name == "mod.rs" else [file.stem])
    for path in paths_of(code_of(text)):
        target = room_of(path, here)
        if target and ROOMS.index(target) > ROOMS.index(room):
            yield f"room `{room}` imports `{'::'.join(path)}` of the later room `{target}`"
        if room == "values" and any(tuple(path[: len(end)]) == end for end in NOT_IN_VALUES):
            yield f"room `values` is plain data and mentions `{'::'.join(path)}`"


def adapter_faults(text):
    """What an adapter's source must not import: the room that users call."""
    for path in paths_of(code_of(text)):
        if path[0] == "broker_core" and room_of(path, []) == "broker":
            yield f"an adapter imports `{'::'.join(path)}`; values, config, base and registry are its rooms"


def user_faults(text):
    """What a user of the public face must not import: the room that adapters implement."""
    for path in paths_of(code_of(text)):
        if path[0] in ("broker", "broker_core") and path[1:2] == ["base"]:
            yield f"`{'::'.join(path)}` is for adapters; the public face is `broker`"


def facade_faults(text):
    """The facade re-exports and has no logic."""
    for word in re.findall(r"\b(?:fn|impl|struct|enum|trait|macro_rules)\b[^{;(]*", code_of(text)):
        # An empty struct may carry the README, so that its snippets are tested.
        if "Readme" not in word:
            yield f"the facade has no logic, yet: `{word.strip()}`"


def manifest_faults(text, forbidden):
    """Dependencies that a manifest must not have; tests may have them."""
    normal = re.search(r"^\[dependencies\]\n(.*?)(?=^\[|\Z)", text, re.DOTALL | re.MULTILINE)
    for name in re.findall(r"^([\w-]+)(?:\.workspace)?\s*=", normal[1] if normal else "", re.MULTILINE):
        if name in forbidden:
            yield f"must not depend on `{name}`"


def faults_of_tree(root):
    """Every fault of the tree, as (file, fault)."""
    for file in sources(root / "broker-core/src"):
        inner = file.relative_to(root / "broker-core/src")
        if len(inner.parts) > 1:
            yield from ((file, fault) for fault in core_faults(inner, file.read_text()))
    manifest = root / "broker-core/Cargo.toml"
    yield from ((manifest, fault) for fault in manifest_faults(manifest.read_text(), CLIENTS))
    for file in sources(root / "broker/src"):
        yield from ((file, fault) for fault in facade_faults(file.read_text()))
    manifests = [*root.glob("*/Cargo.toml"), *root.glob("examples/*/Cargo.toml"), root / "broker-engine/laws/Cargo.toml"]
    crates = sorted(path.parent for path in manifests)
    for crate in crates:
        files = sources(crate / "src")
        if crate.name in SHARED_BY_ADAPTERS or any("register_provider!(" in code_of(file.read_text()) for file in files):
            yield from ((file, fault) for file in files for fault in adapter_faults(file.read_text()))
            manifest = crate / "Cargo.toml"
            yield from ((manifest, fault) for fault in manifest_faults(manifest.read_text(), ABOVE_ADAPTERS))
        elif crate.name in ("broker-cli", "broker-engine", "broker-macros", "laws") or crate.parent.name == "examples":
            yield from ((file, fault) for file in files for fault in user_faults(file.read_text()))


def sources(folder):
    return sorted(folder.rglob("*.rs"))


def prove_that_faults_are_found():
    """A check that finds nothing must be one that could have."""
    found = [
        list(core_faults(Path("base/read.rs"), "use crate::{values::X, broker::{Batch}};")),
        list(core_faults(Path("base/read.rs"), "fn f() { let _ = super::super::registry::Provider; }")),
        list(core_faults(Path("config/url.rs"), "use crate::Broker;")),
        list(core_faults(Path("values/name.rs"), "fn f() { tokio::spawn(g()); }")),
        list(adapter_faults("use broker_core::{Error, Brokers};")),
        list(adapter_faults("fn f() -> broker_core::broker::Batch { g() }")),
        list(user_faults("use broker_core::base::BaseBroker;")),
        list(facade_faults("pub fn connect() {}")),
        list(manifest_faults("[dependencies]\nbytes = 1\nredis.workspace = true\n", CLIENTS)),
    ]
    assert all(len(faults) == 1 for faults in found), found
    silent = [
        list(core_faults(Path("base/read.rs"), "/// See [`crate::broker::Batch`].\nuse crate::Error;")),
        list(core_faults(Path("broker/batch.rs"), 'use super::Consumer; const A: &str = "crate::broker";')),
        list(adapter_faults("use broker_core::{Error, base::{BaseBroker, Settle}, config};")),
        list(facade_faults("pub use broker_core::*;")),
        list(manifest_faults("[dependencies]\nbroker-core = 1\n[dev-dependencies]\nbroker = 1\n", ABOVE_ADAPTERS)),
    ]
    assert not any(silent), silent


def main():
    prove_that_faults_are_found()
    root = Path(__file__).resolve().parents[2]
    faults = list(faults_of_tree(root))
    for file, fault in faults:
        print(f"{file.relative_to(root)}: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
