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
        printf '%-18s %-7s %s\n' "$name" "${step_when[$name]}" "${step_holds[$name]}"
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

run_selected() {
    local name code began number=0 failed=() table=""
    gaps=$(mktemp)
    trap 'rm -f "$gaps"' EXIT
    trap 'exit 130' INT
    for name in "${selected[@]}"; do
        number=$((number + 1))
        printf '\n==> [%d/%d] %s: %s\n' "$number" "${#selected[@]}" "$name" "${step_holds[$name]}"
        began=$SECONDS
        # Not as a condition: bash would switch `set -e` off within the step.
        set +e
        (
            set -e
            eval "${step_command[$name]}"
        )
        code=$?
        set -e
        local took=$((SECONDS - began)) word=passed
        if ((code != 0)); then
            failed+=("$name")
            word=FAILED
        fi
        table+=$(printf '%-8s %-18s %5d s' "$word" "$name" "$took")$'\n'
        printf '==> %s: %s (%d s)\n' "$name" "$word" "$took"
    done
    printf '\n%s' "$table"
    while read -r line; do
        echo "NOT CHECKED: $line"
    done <"$gaps"
    echo "$((${#selected[@]} - ${#failed[@]})) passed, ${#failed[@]} failed in $SECONDS s"
    if ((${#failed[@]})); then
        echo "failed: ${failed[*]}; one alone: scripts/test --only ${failed[0]}" >&2
        exit 1
    fi
}
