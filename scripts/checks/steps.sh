# The steps of more than one command. Sourced by scripts/test; each runs under `set -e`.

# `shuttle` replaces what broker-inline synchronises with, so that crate is looked at with it and without it. Features of
# broker-kafka say where librdkafka comes from: all at once contradict each other.
lints() {
    cargo clippy --workspace --exclude broker-inline --exclude broker-kafka --all-targets --all-features -- -D warnings
    cargo clippy -p broker-kafka --all-targets --features metrics,schema -- -D warnings
    cargo clippy -p broker-inline --all-targets --features schema -- -D warnings
    cargo clippy -p broker-inline --all-targets --features shuttle -- -D warnings
}

docs() {
    export RUSTDOCFLAGS="-D warnings"
    cargo doc --workspace --exclude broker-inline --exclude broker-kafka --no-deps --all-features
    cargo doc -p broker-kafka --no-deps --features metrics,schema
    cargo doc -p broker-inline --no-deps --features schema
}

# The pages are those of the step docs, and fresh.
public_api() {
    docs
    with_gaps 'NOT COMPARED' python3 scripts/checks/public_api.py
}

# Runs a command; what its lines say after this word is told as a gap.
with_gaps() {
    local word=$1 said line
    shift
    said=$(mktemp)
    "$@" | tee "$said"
    while read -r line; do
        gap "$line"
    done < <(sed -n "s/^$word: //p" "$said")
    rm "$said"
}

# What starts no server. The suite's own tests on broken brokers take longer than an inner loop may.
tests_quick() {
    cargo test -p broker -p broker-core -p broker-inline -p broker-testing --lib --bins --tests
    cargo test -p orders --bins --test orders
    cargo test -p broker-cli --lib --bins --test commands --test program
    cargo test -p broker-engine --lib --test queues
    cargo test -p broker-testkit --lib --test model --test report
}

# Each run of the suite in the functions below leaves its report there, for the tables of what is proved.
reports=$PWD/target/conformance

# The book's adapters certify themselves in a step of their own: what they claim is no provider's.
every_test() {
    rm -rf "$reports"
    BROKER_CONFORMANCE_REPORT=$reports/ cargo test --workspace --exclude book-snippets --no-fail-fast
}

conformance() {
    BROKER_CONFORMANCE_REPORT=$reports/ cargo test -p broker-inline --test conformance -- --level full
}

# Each harness starts a server of its own.
conformance_redis() {
    BROKER_CONFORMANCE_REPORT=$reports/ \
        cargo test -p broker-redis-streams -p broker-redis-pubsub --test 'conformance*' -- --level full
}

conformance_kafka() {
    BROKER_CONFORMANCE_REPORT=$reports/ cargo test -p broker-kafka --test 'conformance*' -- --level full
}

# What the runs before said is what is kept, and what the tables say. `--update` keeps what they said.
capabilities() {
    if [[ ! -d $reports ]]; then
        echo "no run of the suite has left a report; scripts/test --only tests --only conformance --only capabilities" >&2
        return 1
    fi
    cargo build -p broker-cli
    with_gaps 'NOT KEPT' target/debug/broker capabilities "$reports" --kept docs/capabilities --into README.md \
        --into docs/capabilities.md "$@"
}

# What is missing is a run of five minutes, which nobody has to do for a change.
torture_page() {
    with_gaps 'NOT KEPT' python3 scripts/checks/torture_page.py
}

# The page is what the structs say.
reference() {
    local page=docs/src/reference/configuration.md
    cargo run --quiet -p broker-cli --features kafka -- config reference >target/configuration.md
    if ! diff --unified "$page" target/configuration.md; then
        echo "$page is stale; write it: cargo run -p broker-cli --features kafka -- config reference >$page" >&2
        return 1
    fi
}

# Page and plots are what the stored results say; nothing is measured. The build is the one of the step instructions.
benchmarks() {
    cargo fmt --manifest-path broker-bench/field/Cargo.toml --check
    cargo run --quiet --release -p broker-bench --no-default-features -- page docs/benchmarks --into docs/benchmarks.md --check
}

# The crate that the program makes is built as its author would build it, and passes with nothing claimed.
new_adapter() {
    local folder
    cargo build -p broker-cli
    folder=$(mktemp -d)
    trap "rm -rf '$folder'" EXIT
    target/debug/broker new-adapter broker-template --within "$folder" --sources .
    outside "$folder/broker-template" clippy --all-targets -- -D warnings
    outside "$folder/broker-template" test --no-fail-fast
    cargo fmt --manifest-path "$folder/broker-template/Cargo.toml" --check
}

# What would be published, without building each crate again from what was packed: docs/releasing.md does that.
packages() {
    python3 scripts/checks/packages.py
    cargo package --workspace --exclude broker-bench --exclude orders --exclude rpc --no-verify --allow-dirty --quiet
    echo "$(find target/package -maxdepth 1 -name '*.crate' | wc -l) crates are packed"
}

conformance_rabbitmq() {
    BROKER_CONFORMANCE_REPORT=$reports/ cargo test -p broker-rabbitmq --test 'conformance*' -- --level full
}

races() {
    cargo test -p broker-inline --features shuttle --test races
}

races_long() {
    SHUTTLE_ITERATIONS=20000 cargo test --release -p broker-inline --features shuttle --test races
}

# Fifty stops over 20,000 messages, in process and on Redis.
stops_long() {
    ENGINE_STOPS=50 cargo test -p broker-engine --test laws stopped_anywhere
}

properties_long() {
    PROPTEST_CASES=4096 cargo test --release --workspace --lib
}

# Each crate that others can depend on, without any feature, then with each one alone. Two features stay out, as their build looks
# for more on the machine than the rest of this project needs.
each_feature() {
    cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["publish"] == []:
        continue
    print(package["name"], "")
    for feature in sorted(package["features"]):
        if feature != "default" and (package["name"], feature) not in [("broker-kafka", "gssapi"), ("broker-kafka", "tls-vendored")]:
            print(package["name"], feature)
' | check_sets
}

# Checks sets of features, a package and at most one feature a line. What builds C is told that it is there, as a check links
# nothing; so the folder is its own, or other steps would take that for the library they link.
check_sets() {
    local triple found package feature
    triple=$(rustc -vV | sed -n 's/^host: //p')
    found=(--config "target.$triple.rdkafka.rustc-link-lib=['rdkafka']" --config "target.$triple.zstd.rustc-link-lib=['zstd']")
    while read -r package feature; do
        echo "$package ${feature:-(no feature)}"
        CARGO_TARGET_DIR=$PWD/target/features cargo "${found[@]}" check --quiet -p "$package" --no-default-features \
            ${feature:+--features "$feature"} </dev/null
    done
}

# Cargo on a crate outside the workspace, as its user would call it. The profile of its dependencies and the target folder
# are the workspace's, so that what both depend on is built once.
outside() {
    local manifest=$1/Cargo.toml command=$2
    shift 2
    CARGO_TARGET_DIR=$PWD/target cargo --config 'profile.dev.debug="line-tables-only"' \
        --config 'profile.dev.package."*".debug=false' "$command" --manifest-path "$manifest" "$@"
}

outside_adapter() {
    cargo fmt --manifest-path examples/custom-adapter/Cargo.toml --check
    outside examples/custom-adapter clippy --all-targets -- -D warnings
    outside examples/custom-adapter test --no-fail-fast
}

# The crates of tests/ have the workspace's versions: they show what the workspace ships.
linkage() {
    local crate
    for crate in tests/smallest tests/linkage; do
        cp Cargo.lock "$crate/Cargo.lock"
        outside "$crate" test
    done
}

program_size() {
    local folder=$PWD/target/size manifest=tests/smallest/Cargo.toml crates began
    cp Cargo.lock tests/smallest/Cargo.lock
    cargo fetch --quiet --manifest-path "$manifest"
    crates=$(cargo tree --manifest-path "$manifest" --edges normal,build --prefix none --format '{p}' |
        sed 's/ (.*//' | sort -u | wc -l)
    rm -rf "$folder"
    began=$SECONDS
    CARGO_TARGET_DIR=$folder cargo build --release --quiet --manifest-path "$manifest"
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
    if "$deny" --log-level error fetch db; then
        "$deny" check
    else
        gap "advisories: the advisory database can't be fetched from here; licences, bans and sources are checked"
        "$deny" check licenses bans sources
    fi
}

# The program judges itself by its exit code; the numbers are looked at all the same.
orders() {
    cargo run -p orders -- --messages 20000 --json >target/orders.json
    orders_add_up target/orders.json 20000
}

# The same program, with nothing but the configuration changed.
orders_redis() {
    private_redis
    cargo run -p orders -- --config examples/orders/redis.toml --messages 5000 --json >target/orders-redis.json
    orders_add_up target/orders-redis.json 5000
}

orders_add_up() {
    python3 - "$@" <<'PYTHON'
import json, sys
total = json.load(open(sys.argv[1]))["total"]
print(", ".join(f"{name} {count}" for name, count in total.items() if name != "group"))
assert total["published"] == 3 * int(sys.argv[2]), "each order goes to three groups"
assert total["handled"] + total["dead_lettered"] == total["published"] and total["lost"] == 0
PYTHON
}

# A Redis server of the step's own, which REDIS_URL names, until the step ends.
private_redis() {
    local folder port
    folder=$(mktemp -d)
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    redis-server --port "$port" --bind 127.0.0.1 --dir "$folder" --save '' >"$folder/log" &
    # The step runs in a shell of its own.
    trap "kill $!; wait $!; rm -rf '$folder'" EXIT
    until [[ $(redis-cli -p "$port" ping 2>/dev/null) == PONG ]]; do
        kill -0 $! || {
            cat "$folder/log" >&2
            return 1
        }
        sleep 0.05
    done
    export REDIS_URL=redis://127.0.0.1:$port/0
}

# Both sides in one group, on the wire formats of docs/wire-formats.md.
protean() {
    cargo build -p broker-cli
    "$tools_dir/protean/bin/python" scripts/checks/with_protean.py target/debug/broker
}

# Both clients in one group, and each on what the other made.
pika() {
    cargo build -p broker-cli
    "$tools_dir/pika/bin/python" scripts/checks/with_pika.py target/debug/broker
}

# Its seed is printed: `--seed` makes the same choices again.
torture() {
    cargo build -p broker-cli
    target/debug/broker torture --private redis --set partitions=4 "$@"
}

torture_kafka() {
    cargo build -p broker-cli --features kafka
    target/debug/broker torture --private kafka --set partitions=4 "$@"
}

torture_rabbitmq() {
    cargo build -p broker-cli
    target/debug/broker torture --private rabbitmq "$@"
}

# Kafka's client is a C library: who does not ask for the provider must not need what that takes. The facade alone builds
# no C at all.
no_c_library() {
    local found
    if found=$(crates_built | grep --extended-regexp '^(cmake|libz-sys|openssl-sys|pkg-config|rdkafka-sys|zstd-sys)$'); then
        echo "a build without the feature kafka builds or looks for C libraries:" $found >&2
        return 1
    fi
    if found=$(crates_built -p broker | grep --extended-regexp '^(cc|cmake|pkg-config)$'); then
        echo "the facade without features builds C:" $found >&2
        return 1
    fi
    # A check that finds nothing must be one that could have.
    crates_built -p broker --features kafka | grep --quiet '^rdkafka-sys$'
}

# The names of all crates that a build takes.
crates_built() {
    cargo tree --edges normal,build --prefix none --format '{p}' "$@" | sed 's/ .*//' | sort --unique
}

# What the program says without the feature, then the program on a private broker.
orders_kafka() {
    local refused
    if refused=$(cargo run -p orders -- --config examples/orders/kafka.toml 2>&1 >/dev/null); then
        echo "orders ran on Kafka without the feature" >&2
        return 1
    fi
    grep --quiet 'features = \["kafka"\]' <<<"$refused"
    cargo test -p orders --features kafka --test kafka
}

# Counts do not move with the machine, so a missed one is a failure, and so is one that rose by more than two per cent.
instructions() {
    local reason
    cargo run --release -p broker-bench --no-default-features -- counts --stored broker-bench/counts.json | tee target/counts.txt
    ! grep --quiet MISSED target/counts.txt
    reason=$(sed -n 's/^NOT COMPARED: //p' target/counts.txt)
    [[ -z $reason ]] || gap "$reason"
}
