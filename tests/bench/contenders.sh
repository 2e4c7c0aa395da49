# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Starting, proving and ending the programs that are measured. Sourced by run, whose $work, $out,
# $portcullis, $proxy_cpu and $load_cpus it uses.
# shellcheck disable=SC2154 # those

declare -A port main_pid pids

# Below the range from which the kernel takes ports for outgoing connections.
free_port() {
    local candidate
    for _ in {1..100}; do
        candidate=$((10000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || {
            echo "$candidate"
            return
        }
    done
    die "no free port"
}

# render TEMPLATE NAME VALUE...: the file without its placeholders.
render() {
    local text name
    text=$(<"$1")
    shift
    while [[ $# -gt 0 ]]; do
        name=$1
        text=${text//@$name@/$2}
        shift 2
    done
    printf '%s\n' "$text"
}

on_load_cpus() { taskset -c "$load_cpus" "$@"; }

# exec_NAME CONFIG: becomes the contender, so that the process in the background is itself.
exec_upstream() { exec taskset -c "$load_cpus" "$out/tools/upstream" "$work/jwks.json" "$1"; }
exec_on_proxy_cpu() { exec taskset -c "$proxy_cpu" "$@"; }
exec_nginx() { exec_on_proxy_cpu nginx -p "$work/" -c "$1" -e "$work/nginx.error"; }
exec_haproxy() { exec_on_proxy_cpu haproxy -db -f "$1" >>"$work/haproxy.log" 2>>"$work/haproxy.error"; }
exec_portcullis() { exec_on_proxy_cpu "$portcullis" serve "$1" 2>>"$work/portcullis.log"; }

start_upstream() {
    rm -f "$work/upstream.port"
    exec_upstream "$work/upstream.port" &
    main_pid[upstream]=$!
    until [[ -s $work/upstream.port ]]; do
        kill -0 "${main_pid[upstream]}" 2>/dev/null || die "the upstream did not start"
        sleep 0.05
    done
    port[upstream]=$(<"$work/upstream.port")
}

# probe NAME TOKENS STATUS ARGUMENT...: one call.
probe() {
    local name=$1 tokens=$2 status=$3
    shift 3
    on_load_cpus "$out/tools/load" --port "${port[$name]}" --tokens "$tokens" --expect "$status" \
        --connections 1 --requests 1 --warmup-ms 0 "$@"
}

await_contender() {
    local name=$1 give_up=$((SECONDS + 15))
    until probe "$name" "$work/tokens.few" 200 >/dev/null 2>"$work/probe.error"; do
        kill -0 "${main_pid[$name]}" 2>/dev/null || die "$name did not start, see $work/$name.*"
        [[ $SECONDS -lt $give_up ]] || die "$name does not answer: $(<"$work/probe.error")"
        sleep 0.1
    done
}

# with_children PID: it and its children, separated by commas.
with_children() {
    local list
    read -r -a list <<<"$1 $(cat "/proc/$1/task/"*/children 2>/dev/null)"
    (IFS=, && echo "${list[*]}")
}

# contender_start NAME: a new process, ready to serve.
contender_start() {
    local name=$1 template
    contender_stop "$name"
    if [[ $name == direct ]]; then
        port[direct]=${port[upstream]}
        return
    fi
    for template in "$here/contenders/$name".*; do :; done
    port[$name]=$(free_port)
    render "$template" LISTEN "${port[$name]}" ADMIN "$(free_port)" UPSTREAM "${port[upstream]}" \
        DIR "$work" RULES "$(<"$here/contenders/rules.json")" >"$work/${template##*/}"
    "exec_$name" "$work/${template##*/}" &
    main_pid[$name]=$!
    await_contender "$name"
    pids[$name]=$(with_children "${main_pid[$name]}")
}

# By process id only. Who has not gone after two seconds is killed.
contender_stop() {
    local name=$1 pid=${main_pid[$1]:-} children=${pids[$1]:-}
    [[ -n $pid ]] || return 0
    unset "main_pid[$name]" "pids[$name]"
    kill "$pid" 2>/dev/null
    for _ in {1..40}; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    # shellcheck disable=SC2086 # a list of words
    kill -KILL $pid ${children//,/ } 2>/dev/null
    wait "$pid" 2>/dev/null
}

stop_all() {
    local name
    for name in "${!main_pid[@]}"; do
        contender_stop "$name"
    done
}

# An authenticating contender must refuse what it says it refuses, and everybody must write a log.
contender_prove() {
    local name=$1 refused error
    sleep 1.5 # nginx writes its log each second
    [[ -s $work/$name.log ]] || die "$name writes no log"
    if [[ $name == nginx ]]; then
        say "  nginx: checks nothing, by intent"
        return
    fi
    for refused in signature expired audience issuer; do
        error=$(probe "$name" "$work/refused-$refused" 401 2>&1 >/dev/null) ||
            die "$name does not refuse a token with a wrong $refused: $error"
    done
    say "  $name: refuses a wrong signature, an expired token, a wrong audience, a wrong issuer"
}

# prove_call STATUS ARGUMENT...
prove_call() {
    local error
    error=$(probe portcullis "$work/tokens.few" "$@" 2>&1 >/dev/null) ||
        die "portcullis does not answer a call with ${*:2} as it should: $error"
}

# prove_list PART FORM ROUTE: one answer, and in $tools the names in it, in order. The answer is
# kept: measure() asks all others to be as long.
prove_list() {
    local file=$work/answer.$1
    prove_call 200 --call list --query "list=$2" --path "/$3" --save "$file"
    mapfile -t tools < <(grep -o '"name":"[^"]*"' "$file" | cut -d '"' -f 4)
}

# The rules let through what is measured, and no more.
prove_rules() {
    local form tools
    prove_call 200 --call search --path /rules
    prove_call 200 --call deploy
    prove_call 403 --call deploy --path /rules
    for form in json sse; do
        prove_list "list-$form+pass" "$form" pass
        [[ ${#tools[@]} -eq 50 ]] || die "${#tools[@]} tools instead of 50 pass ($form)"
        prove_list "list-$form+filter" "$form" rules
        [[ ${tools[*]} == "echo add search docs_read docs_list" ]] ||
            die "the filter leaves these tools ($form): ${tools[*]}"
    done
    say "  portcullis: refuses a call that only its rules forbid, and leaves 5 of 50 tools in a list"
}
