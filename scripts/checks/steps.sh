# The steps of more than one command. Sourced by scripts/test; each runs under `set -e`.

# `shuttle` replaces what broker-inline synchronises with, so that crate is looked at with it and without it.
lints() {
    cargo clippy --workspace --exclude broker-inline --all-targets --all-features -- -D warnings
    cargo clippy -p broker-inline --all-targets --features schema -- -D warnings
    cargo clippy -p broker-inline --all-targets --features shuttle -- -D warnings
}

docs() {
    export RUSTDOCFLAGS="-D warnings"
    cargo doc --workspace --exclude broker-inline --no-deps --all-features
    cargo doc -p broker-inline --no-deps --features schema
}

conformance() {
    cargo test -p broker-inline --test conformance -- --level full
}

races() {
    cargo test -p broker-inline --features shuttle --test races
}

races_long() {
    SHUTTLE_ITERATIONS=20000 cargo test --release -p broker-inline --features shuttle --test races
}

properties_long() {
    PROPTEST_CASES=4096 cargo test --release --workspace --lib
}

# Without any feature, then with each one alone.
each_feature() {
    cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    print(package["name"], "")
    for feature in sorted(package["features"]):
        if feature != "default":
            print(package["name"], feature)
' | while read -r package feature; do
        echo "$package ${feature:-(no feature)}"
        cargo check --quiet -p "$package" --no-default-features ${feature:+--features "$feature"} </dev/null
    done
}

outside_adapter() {
    cd examples/custom-adapter
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo test
}

# Runs Cargo on a crate of tests/ as its user would, with the workspace's versions: it measures what the workspace ships.
as_outsider() {
    local crate=$1
    shift
    cp Cargo.lock "tests/$crate/Cargo.lock"
    CARGO_TARGET_DIR=$PWD/target/outside cargo "$@" --manifest-path "tests/$crate/Cargo.toml"
}

linkage() {
    as_outsider smallest test
    as_outsider linkage test
}

program_size() {
    local crates began
    as_outsider smallest fetch --quiet
    crates=$(as_outsider smallest tree --edges normal,build --prefix none --format '{p}' | sed 's/ (.*//' | sort -u | wc -l)
    rm -rf target/outside/release
    began=$SECONDS
    as_outsider smallest build --release --quiet
    # The count is the project's own doing; the time is the machine's too, so it is told and not judged.
    echo "facade and inline: $crates crates (budget 50), clean release build $((SECONDS - began)) s on $(nproc) cores (budget 20 s on two)"
    ((crates <= 50))
}

minimum_rust_check() {
    CARGO_TARGET_DIR=$PWD/target/minimum-rust cargo "+$msrv" check --workspace
}

# The advisory database lives on one host: away from it the rest is checked and the gap is told.
licences() {
    local deny=$tools_dir/bin/cargo-deny
    if "$deny" --log-level error --all-features fetch db; then
        "$deny" --all-features check
    else
        gap "advisories: the advisory database can't be fetched from here; licences, bans and sources are checked"
        "$deny" --all-features check licenses bans sources
    fi
}

orders() {
    cargo run -p orders -- --messages 20000 | tee target/orders.txt
    grep -Eq '\blost\b[^0-9]+0$' target/orders.txt
}

instructions() {
    cargo run --release -p broker-bench -- counts
}
