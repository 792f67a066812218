# Runs steps one after the other and sums up. Sourced by scripts/test.

steps=()
declare -A step_when step_tools step_holds step_command
step() {
    local name=$1
    steps+=("$name")
    step_when[$name]=$2 step_tools[$name]=$3 step_holds[$name]=$4
    shift 4
    step_command[$name]=$(printf '%q ' "$@")
}

list_steps() {
    local name
    for name in "${steps[@]}"; do
        printf '%-24s %-7s %s\n' "$name" "${step_when[$name]}" "${step_holds[$name]}"
    done
}

selected=()
select_steps() {
    local wanted=$1 name
    shift
    for name in "$@"; do
        if [[ -z ${step_when[$name]:-} ]]; then
            echo "scripts/test: no step is called '$name'; scripts/test --list has them" >&2
            exit 2
        fi
        selected+=("$name")
    done
    (($# == 0)) || return 0
    for name in "${steps[@]}"; do
        case $wanted/${step_when[$name]} in
        */always | quick/quick | full/full | long/full | long/long) selected+=("$name") ;;
        */servers) [[ -z $servers ]] || selected+=("$name") ;;
        esac
    done
}

install_tools_of_selected() {
    local name tool
    ensure_tool rust
    for name in "${selected[@]}"; do
        for tool in ${step_tools[$name]}; do
            ensure_tool "$tool"
        done
    done
}

# What a step could not look at: printed with the summary, so that a gap is never green in silence.
gap() {
    echo "NOT CHECKED: $1"
    echo "$1" >>"$gaps"
}

# What of a failed step's output tells what failed: said again at the end, where it is looked for. A test that panics on
# purpose panics in the log of a passed test too: where a test is named as failed, that and its own report are what counts.
culprits() {
    local sign='^(error|Error)|panicked at|MISSED|REFUTED' found plain
    plain=$(sed 's/\x1b\[[0-9;]*m//g' "$2")
    found=$(grep --extended-regexp --text '^test .* FAILED' <<<"$plain" || true)
    if [[ -n $found ]]; then
        found+=$'\n'$(grep --extended-regexp --text --after-context=12 '^---- .* ----$' <<<"$plain" || true)
    else
        found=$(grep --extended-regexp --text --after-context=1 "$sign" <<<"$plain" || true)
    fi
    printf '%s failed; all of it is in %s:\n' "$1" "$2"
    head -n 48 <<<"${found:-$(tail -n 12 "$2")}" | cut --characters 1-300
}

# These steps only compile, in folders of their own. They run at the lowest priority beside the others, which wait for servers
# much of their time, and are told of at the end.
declare -A is_beside
beside() {
    local name
    for name in "$@"; do
        is_beside[$name]=yes
    done
}

# What became of a step and how long it took is in a file beside its log: another process may have run it.
run_step() {
    local name=$1 began=$SECONDS code
    # Not as a condition: bash would switch `set -e` off within the step.
    set +e
    (
        set -e
        eval "${step_command[$name]}"
    ) 2>&1 | tee "target/checks/$name.log"
    code=${PIPESTATUS[0]}
    set -e
    echo "$code $((SECONDS - began))" >"target/checks/$name.end"
}

run_beside() {
    local name
    renice --priority 19 --pid "$BASHPID"
    for name in "$@"; do
        run_step "$name"
    done
}

number=0
announce() {
    number=$((number + 1))
    printf '\n==> [%d/%d] %s: %s\n' "$number" "${#selected[@]}" "$1" "${step_holds[$1]}"
}

failed=() table=""
conclude() {
    local name=$1 code=1 took=0 word=passed
    read -r code took <"target/checks/$name.end" || true
    if ((code != 0)); then
        failed+=("$name")
        word=FAILED
    fi
    table+=$(printf '%-7s %-24s %5d s' "$word" "$name" "$took")$'\n'
    printf '==> %s: %s (%d s)\n' "$name" "$word" "$took"
}

run_selected() {
    local name lane=() line_of_steps=()
    gaps=$(mktemp)
    lane_group=
    mkdir -p target/checks
    # Cargo writes to a pipe here, and would leave colours out.
    [[ ! -t 1 ]] || export CARGO_TERM_COLOR=always
    trap 'rm -f "$gaps"; [[ -z $lane_group ]] || kill -- "-$lane_group" 2>/dev/null || true' EXIT
    trap 'exit 130' INT
    for name in "${selected[@]}"; do
        rm -f "target/checks/$name.end"
        if [[ -n ${is_beside[$name]:-} ]]; then lane+=("$name"); else line_of_steps+=("$name"); fi
    done
    if ((${#line_of_steps[@]} == 0)); then
        line_of_steps=("${lane[@]}")
        lane=()
    fi
    if ((${#lane[@]})); then
        # In a process group of its own, so that it ends with this script.
        set -m
        run_beside "${lane[@]}" </dev/null >/dev/null 2>&1 &
        lane_group=$!
        set +m
    fi
    for name in "${line_of_steps[@]}"; do
        announce "$name"
        run_step "$name"
        conclude "$name"
    done
    if ((${#lane[@]})); then
        wait "$lane_group" || true
        lane_group=
    fi
    for name in "${lane[@]}"; do
        announce "$name"
        cat "target/checks/$name.log"
        conclude "$name"
    done
    printf '\n'
    paste -d ' ' - - - <<<"${table%$'\n'}"
    for name in "${failed[@]}"; do
        culprits "$name" "target/checks/$name.log"
    done
    while read -r line; do
        echo "NOT CHECKED: $line"
    done <"$gaps"
    echo "$((${#selected[@]} - ${#failed[@]})) passed, ${#failed[@]} failed in $SECONDS s"
    if ((${#failed[@]})); then
        echo "failed: ${failed[*]}; one alone: scripts/test --only ${failed[0]}" >&2
        exit 1
    fi
}
