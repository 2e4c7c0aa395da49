# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What is measured, and how one figure of it is taken. Sourced by run, whose variables it uses.
# shellcheck disable=SC2154,SC2034 # those, and what they read

# NAME|ROUNDS QUICK|ROUNDS FULL|HOW|CONTENDERS|PARTS
#
# 0 rounds: not in this mode. HOW is "-", or "new" (new processes each round), or "unpinned" (nobody
# has a CPU of its own). A contender may end in ":full" (not in the quick run) and in "/N" (at most N
# rounds, for those that are slow or only there to compare with). The parts are measured one after
# the other in each round: PART=arguments of the load. PART+ROUTE is measured with Portcullis only
# and becomes a row of its own in the table of PART; PART@X is a point of a curve. Two parts are no
# load: the arguments of "inspection" are those of inspect_cost, and "syscalls" counts them.
# @WORK@ and @MANY@ (many idle streams, see choose_many) are filled in.
scenarios=(
    "small|9|9|-|nginx haproxy portcullis node/3 haproxy-plain:full caddy:full/3 apache:full/3 direct:full/3|small=--connections 64"
    "syscalls|1|3|-|nginx haproxy portcullis node:full/1 haproxy-plain:full caddy:full/1 apache:full/1|syscalls=--connections 64"
    "fresh|5|9|new|haproxy portcullis apache:full/2 node:full/2|fresh=--connections 64 --once --requests 12000 --warmup-ms 200 --window-ms 30000"
    "rules|9|9|-|nginx portcullis|rules=--connections 64 --call search;rules+rules=--connections 64 --call search --path /rules;inspection=/rules search"
    "lists|3|9|-|portcullis|list-json+pass=--connections 64 --call list --query list=json --path /pass;list-json+filter=--connections 64 --call list --query list=json --path /rules;list-sse+pass=--connections 64 --call list --query list=sse --path /pass;list-sse+filter=--connections 64 --call list --query list=sse --path /rules"
    "sse|0|5|-|nginx haproxy portcullis|sse-burst=--connections 64 --query events=20 --answer 4000;sse-spaced=--connections 64 --query events=20&every=5 --answer 4000"
    "streams|5|9|-|nginx haproxy:full/3 portcullis|alone=--connections 64;beside=--connections 64 --idle 2000"
    "many|0|3|-|nginx haproxy portcullis|beside-many=--connections 64 --idle @MANY@"
    "events|5|9|-|direct nginx haproxy:full/3 portcullis|events=--active 200 --every-ms 100 --idle 2000"
    "active|0|5|-|direct nginx haproxy portcullis|active=--active 200 --every-ms 100"
    "memory|3|5|new|nginx:full/3 haproxy:full/3 portcullis|requests=--connections 64 --requests 100000 --warmup-ms 0 --window-ms 60000 --rest-ms 6000"
    "idle|3|5|new|nginx haproxy:full/3 portcullis|warm=--connections 64 --requests 5000;idle=--idle 2000 --window-ms 1000 --warmup-ms 0"
    "idle-many|0|3|new|nginx haproxy portcullis|warm=--connections 64 --requests 5000;idle-many=--idle @MANY@ --window-ms 1000 --warmup-ms 0"
    "paced|0|9|-|direct nginx haproxy portcullis|paced=--connections 64 --rate 4000"
    "large|0|5|-|nginx haproxy portcullis|64KiB=--connections 16 --size 65536;1MiB=--connections 16 --size 1048576"
    "slow|0|3|new|nginx haproxy portcullis|fast=--connections 64;fast-slow=--connections 64 --slow 200;fast-slow10=--connections 64 --slow 50 --slow-size 10485760"
    "flood|0|5|-|haproxy portcullis apache:full/2 node:full/2|flood-good=--connections 32;flood-bad=--connections 32 --expect 401 --tokens @WORK@/tokens.bad;flood=--connections 32 --flood 32 --flood-tokens @WORK@/tokens.bad"
    "two|5|9|unpinned|nginx-2w haproxy-plain-2w:full/5 portcullis-2w|two=--connections 64"
    "tls|0|5|-|nginx-tls haproxy-tls caddy-tls/2 portcullis-tls|tls=--connections 64"
    "growth-connections|0|3|-|nginx portcullis|connections@1=--connections 1;connections@4=--connections 4;connections@16=--connections 16;connections@64=--connections 64;connections@250=--connections 250;connections@1000=--connections 1000"
    "growth-idle|0|3|-|nginx portcullis|idle-streams@0=--connections 64;idle-streams@1000=--connections 64 --idle 1000;idle-streams@2000=--connections 64 --idle 2000;idle-streams@5000=--connections 64 --idle 5000;idle-streams@@MANY@=--connections 64 --idle @MANY@"
    "growth-rules|0|5|-|portcullis-rules|n-rules@1=--connections 64 --call search --path /rules1;n-rules@10=--connections 64 --call search --path /rules10;n-rules@100=--connections 64 --call search --path /rules100;n-rules@1000=--connections 64 --call search --path /rules1000"
    "growth-tokens|0|5|-|portcullis|n-tokens@1=--connections 64 --take 1;n-tokens@10=--connections 64 --take 10;n-tokens@100=--connections 64 --take 100;n-tokens@1000=--connections 64 --tokens @WORK@/tokens --take 1000;n-tokens@10000=--connections 64 --tokens @WORK@/tokens --take 10000 --warmup-ms 4000"
    "growth-answers|0|3|-|nginx portcullis|answer-kib@1=--connections 16 --size 1024;answer-kib@16=--connections 16 --size 16384;answer-kib@64=--connections 16 --size 65536;answer-kib@256=--connections 16 --size 262144;answer-kib@1024=--connections 16 --size 1048576;answer-kib@10240=--connections 16 --size 10485760"
)

# list_contains LIST NAME: comma separated; the empty list contains everything, "growth" all of its
# scenarios.
list_contains() { [[ -z $1 || ,$1, == *,$2,* || (,$1, == *,growth,* && $2 == growth-*) ]]; }

# read_scenario ROW: sets name, how, parts, rounds_here, and contenders with max_rounds of each, as
# the mode and the arguments want them. Fails when nothing is left.
declare -A max_rounds
read_scenario() {
    local n_quick n_full row=$1 candidate wants
    row=${row//@WORK@/$work}
    IFS='|' read -r name n_quick n_full how wants parts <<<"${row//@MANY@/$many}"
    list_contains "$only" "$name" || return
    [[ $mode == quick ]] && rounds_here=$n_quick || rounds_here=$n_full
    # Whoever asks for a scenario by name gets it.
    [[ $rounds_here -gt 0 || -z $only ]] || rounds_here=3
    [[ $rounds_here -gt 0 ]] || return
    rounds_here=${rounds:-$rounds_here}

    contenders=()
    for candidate in $wants; do
        local max=$rounds_here
        [[ $candidate != */* ]] || max=${candidate#*/} candidate=${candidate%/*}
        if [[ $candidate == *:full ]]; then
            candidate=${candidate%:full}
            [[ $mode == full || -n $wanted ]] || continue
        fi
        list_contains "$wanted" "${candidate/%portcullis-rules/portcullis}" || continue
        # One that there will be later, like TLS of Portcullis' own.
        [[ -n ${program[$candidate]:-} || $candidate =~ ^(direct|portcullis-rules)$ ]] || continue
        contenders+=("$candidate")
        max_rounds[$candidate]=$max
    done
    [[ ${#contenders[@]} -gt 0 ]]
}

# record PART CONTENDER ROUND < `key value` lines
record() {
    awk -v OFS='\t' -v part="$1" -v contender="$2" -v round="$3" \
        '{ print part, contender, round, $1, $2 }' >>"$out/raw.tsv"
}

# start_perf PART CONTENDER ROUND ARGUMENT...: for one second, once streams are open and quiet.
start_perf() {
    local file=$out/perf/$1-$2 delay=0.4
    [[ -n $with_perf && $3 -eq 1 && -n ${pids[$2]:-} ]] || return 0
    [[ " $* " == *" --idle "* ]] && delay=1.5
    (sleep "$delay" && exec perf record -q -g -F 1999 -p "${pids[$2]}" -o "$file.data" -- sleep 1) \
        2>"$file.error" &
    perf_pid=$!
}

end_perf() {
    local file=$out/perf/$1-$2
    [[ -n $perf_pid ]] || return 0
    wait "$perf_pid"
    perf_pid=''
    perf report -i "$file.data" --stdio --no-children -g none --percent-limit 0.3 >"$file.txt" 2>/dev/null
}

# run_load CONTENDER ARGUMENT...: later arguments win.
run_load() {
    local contender=$1
    shift
    # shellcheck disable=SC2046 # one argument or none
    set -- $(contender_load_arguments "$contender") "$@"
    [[ -z ${pids[$contender]:-} ]] || set -- --pids "${pids[$contender]}" "$@"
    on_load_cpus timeout -k 5 120 "$out/tools/load" --port "${port[$contender]}" \
        --tokens "$work/tokens.few" "$@"
}

# measure PART CONTENDER ROUND ARGUMENT...: the arguments of the scenario win over the defaults.
measure() {
    local part=$1 contender=$2 round=$3 route='' answer
    shift 3
    [[ $part != *+* ]] || route=+${part#*+}
    [[ -z $route || $contender == portcullis ]] || return 0
    # A list that was looked at in the proof: each answer has its length.
    [[ ! -s $work/answer.$part ]] || set -- --answer "$(wc -c <"$work/answer.$part")" "$@"
    [[ " $* " != *" --once "* ]] || set -- --tokens "$work/tokens" "$@"
    [[ $SECONDS -lt $limit_s ]] || die "longer than $limit_s s: ended"

    [[ $contender == direct ]] || : >"$work/$contender.log"
    start_perf "$part" "$contender" "$round" "$@"
    answer=$(run_load "$contender" --window-ms "$window_ms" "$@" 2>"$work/load.error") || {
        answer=$(<"$work/load.error")
        end_perf "$part" "$contender"
        fail "$part, $contender, round $round: ${answer:-the load failed}"
        return 1
    }
    end_perf "$part" "$contender"
    record "${part%%+*}" "$contender$route" "$round" <<<"$answer"
}

# measure_inspection PART CONTENDER ROUND ROUTE REQUEST: on the contender's CPU, while it rests.
measure_inspection() {
    local answer
    [[ $2 == portcullis && -x $out/tools/inspect_cost ]] || return 0
    answer=$(exec_on_proxy_cpu "$out/tools/inspect_cost" "$work/portcullis.json" "$4" "$5" \
        "$work/tokens.few") || {
        fail "$1, round $3: cannot be measured"
        return 1
    }
    record "$1" "$2" "$3" <<<"$answer"
}

# What may count system calls on this machine.
syscall_counter() {
    if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then
        echo perf
    elif strace -c -o /dev/null true 2>/dev/null; then
        echo strace
    else
        echo nothing
    fi
}

# count_by_perf / count_by_strace CONTENDER FILE ARGUMENT...: sets counted, the system calls that its
# processes made while the load ran. perf counts in the kernel; strace stops the process at each,
# which makes it slow and hardly changes how many there are for a request.
count_by_perf() {
    local contender=$1 file=$2
    shift 2
    run_load "$contender" "$@" --requests 1000 >/dev/null || return # the tokens are known then
    perf stat -x ' ' -e raw_syscalls:sys_enter -p "${pids[$contender]}" \
        -o "$file" -- taskset -c "$load_cpus" "$out/tools/load" --port "${port[$contender]}" \
        --tokens "$work/tokens.few" "$@" >/dev/null || return
    counted=$(awk '/raw_syscalls/ { print $1 }' "$file")
}

count_by_strace() {
    local contender=$1 file=$2 tracer
    shift 2
    run_load "$contender" "$@" --requests 1000 >/dev/null || return
    strace -f -q -c -o "$file" -p "${pids[$contender]}" 2>"$file.error" &
    tracer=$!
    sleep 1
    run_load "$contender" "$@" >/dev/null || return
    kill -INT "$tracer" 2>/dev/null || return # it could not attach
    wait "$tracer"
    counted=$(awk '$NF == "total" { print $4 }' "$file")
}

# measure_syscalls PART CONTENDER ROUND ARGUMENT...
measure_syscalls() {
    local part=$1 contender=$2 round=$3 n=10000 counted='' tool
    shift 3
    tool=$(syscall_counter)
    [[ $tool != nothing ]] || {
        say "  neither perf nor strace may count system calls here: left out"
        return 0
    }
    "count_by_$tool" "$contender" "$work/syscalls.$contender" "$@" --requests "$n" --warmup-ms 0 \
        --window-ms 60000
    [[ -n $counted ]] || {
        fail "$part, $contender: system calls cannot be counted by $tool"
        return 1
    }
    awk -v counted="$counted" -v n="$n" 'BEGIN { print "syscalls", counted / n }' |
        record "$part" "$contender" "$round"
}

# rules_routes UPSTREAM PORT: routes /rules1 to /rules1000, of whose rules the last one decides.
rules_routes() {
    local n i rules
    for n in 1 10 100 1000; do
        rules=''
        for ((i = 1; i < n; i++)); do
            rules+="{\"tools\":[\"area${i}_*\"],\"scopes\":[\"area${i}:use\"]},"
        done
        rules+='{"tools":["add","echo","search*"],"scopes":["mcp:use"],"permission":"tool:{name}"}'
        printf '{"resource":"http://127.0.0.1:%s/rules%s","upstream":"http://127.0.0.1:%s/mcp",' \
            "$2" "$n" "$1"
        printf '"audiences":["https://mcp.example.com/mcp"],"authorize_on":"either","rules":[%s]},' \
            "$rules"
    done
}

# Portcullis as contender_start configures it, with the routes of rules_routes before the others.
start_with_rules() {
    local name=portcullis-rules text
    contender_start portcullis
    contender_stop portcullis
    port[$name]=${port[portcullis]}
    text=$(<"$work/portcullis.json")
    printf '%s\n' "${text/\"routes\": \[/\"routes\": [$(rules_routes "${port[upstream]}" "${port[$name]}")}" \
        >"$work/$name.json"
    exec_on_proxy_cpu "$portcullis" serve "$work/$name.json" 2>>"$work/$name.log" &
    main_pid[$name]=$!
    await_contender "$name"
    pids[$name]=${main_pid[$name]}
}

start() {
    if [[ $1 == portcullis-rules ]]; then start_with_rules; else contender_start "$1"; fi
}

# run_round ROUND CONTENDER: all parts; fails when one of them does.
run_round() {
    local round=$1 contender=$2 part measure result=0
    [[ $how != new ]] || start "$contender"
    while read -r -d ';' part; do
        case $part in
            inspection=*) measure=measure_inspection ;;
            syscalls=*) measure=measure_syscalls ;;
            *) measure=measure ;;
        esac
        # shellcheck disable=SC2086 # arguments, separated by blanks
        "$measure" "${part%%=*}" "$contender" "$round" ${part#*=} || result=1
    done <<<"$parts;"
    [[ $how != new ]] || contender_stop "$contender"
    return "$result"
}

# The scenario that read_scenario has read. Whoever fails in a round is left out of the next ones.
run_scenario() {
    local round contender list=("${contenders[@]}") next
    for contender in "${list[@]}"; do
        [[ $how == new ]] || start "$contender"
    done
    for ((round = 1; round <= rounds_here; round++)); do
        next=()
        for contender in "${list[@]}"; do
            [[ $round -le ${max_rounds[$contender]} ]] || continue
            if run_round "$round" "$contender"; then
                next+=("$contender")
            else
                contender_stop "$contender"
            fi
        done
        [[ ${#next[@]} -gt 0 ]] || break
        list=("${next[@]:1}" "${next[0]}") # nobody is always first
    done
}
