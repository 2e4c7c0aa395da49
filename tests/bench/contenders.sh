# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Starting, proving and ending the programs that are measured. Sourced by run, whose $root, $here,
# $work, $out, $portcullis, $proxy_cpu and $load_cpus it uses.
# shellcheck disable=SC2154 # those

# Who there is: NAME PROGRAM WORKERS WORD... The configuration is contenders/PROGRAM.*; a line there
# that begins with `#if WORD ` stays, without these, for who has the word, and goes for all others.
#   http https   what it listens with        open token   lets everybody through, or checks tokens
#   few many     has threads for calls, or for thousands of streams
contender_rows=(
    "nginx              nginx       1  http   open"
    "nginx-2w           nginx       2  http   open"
    "nginx-tls          nginx       1  https  open"
    "haproxy            haproxy     1  http   token"
    "haproxy-plain      haproxy     1  http   open"
    "haproxy-plain-2w   haproxy     2  http   open"
    "haproxy-tls        haproxy     1  https  open"
    "caddy              caddy       1  http   open"
    "caddy-tls          caddy       1  https  open"
    "apache             apache      1  http   token few"
    "apache-streams     apache      1  http   token many"
    "node               node        1  http   token"
    "portcullis         portcullis  1  http   token"
    "portcullis-2w      portcullis  2  http   token"
    # "portcullis-tls   portcullis  1  https  token", once it has TLS of its own
)

declare -A program workers words port main_pid pids streams

read_contenders() {
    local row name
    for row in "${contender_rows[@]}"; do
        name=${row%% *}
        read -r _ "program[$name]" "workers[$name]" "words[$name]" <<<"$row"
    done
}
read_contenders

# contender_is NAME WORD
contender_is() { [[ " ${words[$1]:-} " == *" $2 "* ]]; }

# contender_load_arguments NAME: how the load has to speak to it.
contender_load_arguments() { ! contender_is "$1" https || echo --tls; }

# contender_is_installed NAME: whether its program is on this machine.
contender_is_installed() {
    case ${program[$1]:-direct} in
        apache) command -v apache2 >/dev/null && [[ -e $apache_modules/mod_auth_openidc.so ]] ;;
        node) [[ -d $here/node/node_modules/express ]] ;;
        portcullis) [[ -x $portcullis ]] ;;
        direct) ;;
        *) command -v "${program[$1]}" >/dev/null ;;
    esac
}

apache_modules=/usr/lib/apache2/modules

npm_version() { sed -n 's/^ *"version": "\([0-9][^"]*\)".*/\1/p' "$1/package.json" | head -n 1; }

# contender_version NAME: one line.
contender_version() {
    local shared=$root/tests/node_modules own=$here/node/node_modules
    case ${program[$1]:-} in
        nginx) nginx -v 2>&1 | sed 's/.*: //' ;;
        haproxy) haproxy -v | sed -n '1s/ - .*//p' ;;
        caddy) echo "Caddy $(caddy version | cut -d ' ' -f 1)" ;;
        apache)
            echo "$(apache2 -v | sed -n 's/^Server version: //p')," \
                "mod_auth_openidc $(dpkg-query -W -f '${Version}' libapache2-mod-auth-openidc)"
            ;;
        node)
            echo "Node $("$root/tests/node" -v), express $(npm_version "$own/express")," \
                "@modelcontextprotocol/sdk $(npm_version "$shared/@modelcontextprotocol/sdk")," \
                "jose $(npm_version "$shared/jose"), http-proxy $(npm_version "$own/http-proxy")"
            ;;
        portcullis) "$portcullis" version 2>/dev/null | head -n 1 ;;
    esac
}

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

# choose_lines TEMPLATE WORD...: see contender_rows.
choose_lines() {
    local file=$1
    shift
    sed -E "s/^#if ($(IFS='|' && echo "$*")) //; /^#if /d" "$file"
}

# fill_in NAME VALUE...: standard input without its placeholders.
fill_in() {
    local text
    text=$(cat)
    while [[ $# -gt 0 ]]; do
        text=${text//@$1@/"$2"}
        shift 2
    done
    printf '%s\n' "$text"
}

on_load_cpus() { taskset -c "$load_cpus" "$@"; }
exec_on_proxy_cpu() { exec taskset -c "$proxy_cpu" "$@"; }

# Two workers share all CPUs with the load.
exec_on_its_cpus() {
    local name=$1 cpus=$proxy_cpu
    shift
    [[ ${workers[$name]} -eq 1 ]] || cpus=$proxy_cpu,$load_cpus
    exec taskset -c "$cpus" "$@"
}

# exec_PROGRAM NAME CONFIG: becomes the contender, so that the process in the background is itself.
exec_upstream() { exec taskset -c "$load_cpus" "$out/tools/upstream" "$work/jwks.json" "$1"; }
exec_nginx() { exec_on_its_cpus "$1" nginx -p "$work/" -c "$2" -e "$work/$1.error"; }
exec_haproxy() {
    exec_on_its_cpus "$1" haproxy -db -f "$2" >>"$work/$1.log" 2>>"$work/$1.error"
}
exec_caddy() {
    # It would make folders in the home otherwise.
    export HOME=$work XDG_CONFIG_HOME=$work/caddy XDG_DATA_HOME=$work/caddy
    exec_on_its_cpus "$1" caddy run --config "$2" --adapter caddyfile 2>>"$work/$1.error"
}
exec_apache() { exec_on_its_cpus "$1" apache2 -DFOREGROUND -f "$2" 2>>"$work/$1.error"; }
exec_node() {
    export NODE_ENV=production
    exec_on_its_cpus "$1" "$root/tests/node" --max-semi-space-size=64 "$here/node/server.mjs" "$2" \
        2>>"$work/$1.error"
}
exec_portcullis() { exec_on_its_cpus "$1" "$portcullis" serve "$2" 2>>"$work/$1.log"; }

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

# For who listens with TLS: P-256, in two files and, for HAProxy, in one. Made once in a run.
make_certificate() {
    [[ -z ${has_certificate:-} ]] || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$work/tls.key" -out "$work/tls.crt" 2>"$work/openssl.error" ||
        die "no certificate, see $work/openssl.error"
    cat "$work/tls.crt" "$work/tls.key" >"$work/tls.pem"
    has_certificate=yes
}

# probe NAME TOKENS STATUS ARGUMENT...: one call.
probe() {
    local name=$1 tokens=$2 status=$3
    shift 3
    # shellcheck disable=SC2046 # one argument or none
    on_load_cpus "$out/tools/load" --port "${port[$name]}" --tokens "$tokens" --expect "$status" \
        --connections 1 --requests 1 --warmup-ms 0 $(contender_load_arguments "$name") "$@"
}

await_contender() {
    local name=$1 give_up=$((SECONDS + 15))
    until probe "$name" "$work/tokens.few" 200 >/dev/null 2>"$work/probe.error"; do
        kill -0 "${main_pid[$name]}" 2>/dev/null || die "$name did not start, see $work/$name.*"
        [[ $SECONDS -lt $give_up ]] || die "$name does not answer: $(<"$work/probe.error")"
        sleep 0.1
    done
}

# list_processes PID: it and all below it.
list_processes() {
    local children child
    echo "$1"
    read -r -a children <<<"$(cat "/proc/$1/task/"*/children 2>/dev/null | tr '\n' ' ')"
    for child in "${children[@]}"; do
        list_processes "$child"
    done
}

# contender_refresh NAME: pids[NAME] as they are now, separated by commas.
contender_refresh() {
    local list
    [[ -n ${main_pid[$1]:-} ]] || return 0
    mapfile -t list < <(list_processes "${main_pid[$1]}")
    pids[$1]=$(IFS=, && echo "${list[*]}")
}

# As many as 10,000 streams and what is beside them need, two each, or what the machine allows: nginx
# and HAProxy pay memory for what they may open.
files_wanted() {
    local limit
    limit=$(ulimit -n)
    [[ $limit != unlimited && $limit -lt 24576 ]] || limit=24576
    echo "$limit"
}

# contender_start NAME: a new process, ready to serve.
contender_start() {
    local name=$1 template config scheme=http
    contender_stop "$name"
    if [[ $name == direct ]]; then
        port[direct]=${port[upstream]}
        return
    fi
    [[ -n ${program[$name]:-} ]] || die "no contender is called $name"
    if contender_is "$name" https; then
        scheme=https
        make_certificate
    fi
    for template in "$here/contenders/${program[$name]}".*; do :; done
    config=$work/$name.${template##*.}
    port[$name]=$(free_port)
    # shellcheck disable=SC2086 # words
    choose_lines "$template" ${words[$name]} |
        fill_in RULES "$(<"$here/contenders/rules.json")" NAME "$name" SCHEME "$scheme" \
            WORKERS "${workers[$name]}" LISTEN "${port[$name]}" ADMIN "$(free_port)" \
            UPSTREAM "${port[upstream]}" DIR "$work" FILES "$(files_wanted)" \
            MODULES "$apache_modules" >"$config"
    : >"$work/$name.log"
    "exec_${program[$name]}" "$name" "$config" &
    main_pid[$name]=$!
    await_contender "$name"
    contender_refresh "$name"
}

# By process id only. Who has not gone after two seconds is killed.
contender_stop() {
    local name=$1 pid=${main_pid[$1]:-} children
    [[ -n $pid ]] || return 0
    contender_refresh "$name"
    children=${pids[$name]:-}
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

# Some write their log each second, Apache whenever 4 KiB have come together.
prove_log() {
    probe "$1" "$work/tokens.few" 200 --requests 200 >/dev/null 2>&1
    for _ in {1..30}; do
        [[ ! -s $work/$1.log ]] || return 0
        sleep 0.1
    done
    die "$1 writes no log"
}

# Events 100 ms apart must come one by one. Who holds them back is not asked for streams later.
prove_streams() {
    local name=$1 answer p50_us
    # shellcheck disable=SC2046 # one argument or none
    answer=$(on_load_cpus timeout -k 5 20 "$out/tools/load" --port "${port[$name]}" \
        --tokens "$work/tokens.few" --active 4 --every-ms 100 --warmup-ms 300 --window-ms 1000 \
        $(contender_load_arguments "$name") 2>&1)
    p50_us=$(sed -n 's/^event_p50_us \([0-9]*\).*/\1/p' <<<"$answer")
    if [[ -z $p50_us ]]; then
        streams[$name]="no: ${answer##*$'\n'}"
    elif [[ $p50_us -gt 20000 ]]; then
        streams[$name]="no: events come $((p50_us / 1000)) ms late"
    else
        streams[$name]="yes: events come after $p50_us us"
    fi
}

# contender_streams NAME: whether it passes events on at once. prove_streams has found out.
contender_streams() {
    [[ $1 == direct ]] || {
        [[ -n ${streams[$1]:-} ]] || prove_streams "$1"
        [[ ${streams[$1]} == yes* ]]
    }
}

prove_checks() {
    local name=$1 refused error
    if contender_is "$name" open; then
        say "  $name: checks nothing, by intent"
        return
    fi
    for refused in signature expired audience issuer; do
        error=$(probe "$name" "$work/refused-$refused" 401 2>&1 >/dev/null) ||
            die "$name does not refuse a token with a wrong $refused: $error"
    done
    say "  $name: refuses a wrong signature, an expired token, a wrong audience, a wrong issuer"
}

# An authenticating contender must refuse what it says it refuses, everybody must write a log, and
# events must come one by one, or there are none of it.
contender_prove() {
    prove_log "$1"
    prove_checks "$1"
    prove_streams "$1"
    [[ ${streams[$1]} == yes* ]] || say "  $1: does not take part with streams; ${streams[$1]#*: }"
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
