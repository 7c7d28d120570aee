#!/bin/sh
# Upgrades a cluster through `ap-mcp call`: check, backup, upgrade with a person's consent, check again.
#
#   upgrade.sh CLUSTER VERSION          for instance: upgrade.sh shop-dev v1.31
#   FLAGS=--simulate upgrade.sh …       on the simulator; FLAGS holds any flags of `ap-mcp call`
#
# Needs ap-mcp and python3 on the PATH. It stops at the first step that does not end well, with the exit code of
# `ap-mcp call`: 5 if the check found something to fix or to accept, 4 if a person or the policy said no.
set -eu
cluster=${1:?the name of a cluster} version=${2:?the version to upgrade to, such as v1.31}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# pick EXPRESSION: a part of the last answer, as Python finds it in `a`
pick() {
    python3 -c 'import json, sys; a = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$answer" "$1"
}

# try TOOL ARGUMENT...: one call, whose JSON is kept and whose exit code is returned
try() {
    # shellcheck disable=SC2086 # FLAGS are several words
    ap-mcp call "$@" ${FLAGS:-} --output json >"$answer"
}

# run TOOL ARGUMENT...: a call and, if it started something, the wait for its end
run() {
    echo "== $*"
    asked=
    while code=0; try "$@" 2>/dev/null || code=$?; [ "$code" -eq 3 ]; do
        now=$(pick 'a["error"]["code"] or ""')
        [ -n "$now" ] || break # nobody may be asked
        if [ "$now" != "$asked" ]; then
            pick 'a["error"]["impact"]'
            echo "Waits for a person: ap-mcp approvals approve $now"
            asked=$now
        fi
        sleep "${PAUSE:-10}"
    done
    [ "$code" -eq 0 ] || stop "$code"
    rest=$(pick 'next((json.dumps(each["arguments"]) for each in a.get("next", []) if each["tool"] == "wait_for"), "")')
    [ -n "$rest" ] || { pick 'a["summary"]'; return; }
    while code=0; try wait_for --json "$rest" 2>/dev/null || code=$?; [ "$code" -eq 7 ]; do
        pick 'a["summary"]'
    done
    pick 'a["summary"]'
    [ "$code" -eq 0 ] || stop "$code"
}

# stop CODE: say why, and end
stop() {
    pick '"{kind}: {message}".format(**a["error"])' >&2
    exit "$1"
}

run run_precheck "cluster_id=$cluster" "target_version=$version"
run backup_cluster "cluster_id=$cluster"
run upgrade_cluster "cluster_id=$cluster" "target_version=$version"
run run_postcheck "cluster_id=$cluster"
