# SPDX-License-Identifier: Apache-2.0
# Turns the figures of a run into Markdown or JSON. Reads facts.tsv (name, value), goals.tsv and
# raw.tsv (part, contender, round, key, value). Figures are medians over the rounds; a ratio is the
# median of the ratios within each round, so that what slows both at once does not count.
BEGIN {
    FS = "\t"
    define_parts()
    define_columns()
}

/^#/ { next }
FILENAME ~ /facts\.tsv$/ { fact_name[++n_facts] = $1; fact_text[n_facts] = $2; next }
FILENAME ~ /goals\.tsv$/ { for (i = 1; i <= 4; i++) goal[n_goals + 1, i] = $i; n_goals++; next }
{
    part = $1; contender = $2; round = $3
    if (!((part, contender) in is_measured)) {
        is_measured[part, contender] = 1
        contenders[part] = contenders[part] " " contender
    }
    if (round > rounds[part])
        rounds[part] = round
    figure[part, contender, $4, round] = $5
}

END {
    derive()
    if (format == "json")
        print_json()
    else
        print_markdown()
}

# Part, the contender its ratios are against, what it is, and its columns.
function define_parts() {
    add_part("small", "nginx", "tools/call of 199 bytes, answer of 300 bytes, 256 tokens, 64 connections", \
        "cpu_us ratio busy rps p50_us p99_us")
    add_part("fresh", "haproxy", "the same, every token new (12,000 requests)", \
        "cpu_us ratio busy rps p50_us p99_us")
    add_part("rules", "nginx", "tools/call of 300 bytes; +rules: on a route with ten rules, of which the last decides", \
        "cpu_us ratio busy rps p50_us p99_us")
    add_part("inspection", "", "CPU us of inspection and decision alone for such a call; inspect_cost.c says how", \
        "judge_us loop_us loop_json_us loop_inspect_us loop_decide_us")
    add_part("list-json", "portcullis+pass", "tools/list in JSON, 50 tools in 20 kB; +filter: 5 of them are left", \
        "cpu_us ratio busy rps p50_us p99_us")
    add_part("list-sse", "portcullis+pass", "the same as an event stream", \
        "cpu_us ratio busy rps p50_us p99_us")
    add_part("alone", "nginx", "as small, to compare with the next", \
        "cpu_us ratio rps p50_us p99_us")
    add_part("beside", "nginx", "the same with 2,000 idle streams beside", \
        "cpu_us ratio rps p50_us p99_us")
    add_part("events", "nginx", "200 streams with 10 events/s each, 2,000 idle streams beside", \
        "event_cpu_us ratio event_p50_us event_p99_us event_added_us")
    add_part("requests", "", "memory of a new process, before and after 100,000 requests", \
        "rss_before_mib rss_after_mib rss_growth_mib rss_rest_mib rss_kept_mib")
    add_part("idle", "", "memory and CPU time of 2,000 idle streams, in a process that has served 5,000 requests", \
        "stream_kib busy")
    add_part("paced", "nginx", "4,000 requests/s at a fixed rate, latency counted from when each was due", \
        "cpu_us ratio p50_us p99_us")
    add_part("64KiB", "nginx", "answers of 64 KiB, 16 connections", \
        "cpu_us ratio rps p50_us p99_us")
    add_part("1MiB", "nginx", "answers of 1 MiB, 16 connections", \
        "cpu_us ratio rps p50_us p99_us")
}

function add_part(name, base, title, keys) {
    part_name[++n_parts] = name
    part_title[name] = title
    part_keys[name] = keys
    part_base[name] = base
}

function define_columns() {
    add_column("cpu_us", "CPU us/request", "%.1f")
    add_column("event_cpu_us", "CPU us/event", "%.1f")
    add_column("judge_us", "in between I/O", "%.2f")
    add_column("loop_us", "in a loop", "%.2f")
    add_column("loop_json_us", "its JSON check", "%.2f")
    add_column("loop_inspect_us", "all inspection", "%.2f")
    add_column("loop_decide_us", "decision", "%.2f")
    add_column("busy", "CPUs busy", "%.2f")
    add_column("rps", "requests/s", "%.0f")
    add_column("p50_us", "p50 us", "%.0f")
    add_column("p99_us", "p99 us", "%.0f")
    add_column("event_p50_us", "latency p50 us", "%.0f")
    add_column("event_p99_us", "p99 us", "%.0f")
    add_column("event_added_us", "added p50 us", "%.0f")
    add_column("rss_before_mib", "MiB after start", "%.2f")
    add_column("rss_after_mib", "MiB at the end", "%.2f")
    add_column("rss_growth_mib", "growth MiB", "%.2f")
    add_column("rss_rest_mib", "all closed", "%.2f")
    add_column("rss_kept_mib", "growth MiB", "%.2f")
    add_column("stream_kib", "KiB per stream", "%.1f")
}

function add_column(key, header, digits) {
    column_header[key] = header
    column_digits[key] = digits
}

# What follows from two figures of the same round.
function derive(    p, part, n, list, i, c, round) {
    for (p = 1; p <= n_parts; p++) {
        part = part_name[p]
        n = split(contenders[part], list, " ")
        for (i = 1; i <= n; i++) {
            c = list[i]
            for (round = 1; round <= rounds[part]; round++)
                derive_round(part, c, round)
        }
    }
}

function derive_round(part, c, round) {
    if ((part, c, "rss_before_kib", round) in figure) {
        figure[part, c, "rss_before_mib", round] = figure[part, c, "rss_before_kib", round] / 1024
        figure[part, c, "rss_after_mib", round] = figure[part, c, "rss_after_kib", round] / 1024
        figure[part, c, "rss_growth_mib", round] = \
            figure[part, c, "rss_after_mib", round] - figure[part, c, "rss_before_mib", round]
    }
    if ((part, c, "rss_rest_kib", round) in figure) {
        figure[part, c, "rss_rest_mib", round] = figure[part, c, "rss_rest_kib", round] / 1024
        figure[part, c, "rss_kept_mib", round] = \
            figure[part, c, "rss_rest_mib", round] - figure[part, c, "rss_before_mib", round]
    }
    if (c != "direct" && ((part, c, "event_p50_us", round) in figure) &&
        ((part, "direct", "event_p50_us", round) in figure))
        figure[part, c, "event_added_us", round] = \
            figure[part, c, "event_p50_us", round] - figure[part, "direct", "event_p50_us", round]
}

function median(values, n,    i, j, swap) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && values[j - 1] > values[j]; j--) {
            swap = values[j]; values[j] = values[j - 1]; values[j - 1] = swap
        }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
}

# "" when it was not measured.
function median_of(part, c, key,    round, n, values) {
    n = 0
    for (round = 1; round <= rounds[part]; round++)
        if ((part, c, key, round) in figure)
            values[++n] = figure[part, c, key, round]
    return n ? median(values, n) : ""
}

# above and below are "PART CONTENDER KEY". Rounds of two parts of one scenario belong together.
function paired_ratio(above, below,    a, b, round, n, values, x, y) {
    split(above, a, " ")
    split(below, b, " ")
    n = 0
    for (round = 1; round <= rounds[a[1]]; round++) {
        x = figure[a[1], a[2], a[3], round]
        y = figure[b[1], b[2], b[3], round]
        if (x != "" && y > 0)
            values[++n] = x / y
    }
    return n ? median(values, n) : ""
}

function ratio_to_base(part, c,    key) {
    key = part_keys[part] ~ /event_cpu_us/ ? "event_cpu_us" : "cpu_us"
    if (c == "direct")
        return ""
    return paired_ratio(part " " c " " key, part " " part_base[part] " " key)
}

function goal_value(g,    a) {
    if (goal[g, 4] != "-")
        return paired_ratio(goal[g, 3], goal[g, 4])
    split(goal[g, 3], a, " ")
    return median_of(a[1], a[2], a[3])
}

function goal_verdict(g,    value) {
    value = goal_value(g)
    if (value == "")
        return "not measured"
    if (goal[g, 2] == "-")
        return "no goal yet"
    return value <= goal[g, 2] + 0 ? "met" : "MISSED"
}

function base_header(base) {
    sub(/^portcullis\+/, "", base)
    return "x " base
}

function cell(part, c, key,    value) {
    if (key == "ratio") {
        value = ratio_to_base(part, c)
        return value == "" ? "" : sprintf("%.2f", value)
    }
    value = median_of(part, c, key)
    # Without a process there is no CPU time.
    if (value == "" || (c == "direct" && key ~ /cpu|busy/))
        return ""
    return sprintf(column_digits[key], value)
}

function print_row(first, cells, n,    i, line) {
    line = sprintf("| %-17s |", first)
    for (i = 1; i <= n; i++)
        line = line sprintf(" %15s |", cells[i])
    print line
}

function print_part(part,    n_keys, keys, n, list, i, k, cells) {
    n_keys = split(part_keys[part], keys, " ")
    n = split(contenders[part], list, " ")
    printf "\n### %s: %s\n\n", part, part_title[part]
    for (k = 1; k <= n_keys; k++)
        cells[k] = keys[k] == "ratio" ? base_header(part_base[part]) : column_header[keys[k]]
    print_row("", cells, n_keys)
    for (k = 1; k <= n_keys; k++)
        cells[k] = "--------------:"
    print_row("---", cells, n_keys)
    for (i = 1; i <= n; i++) {
        for (k = 1; k <= n_keys; k++)
            cells[k] = cell(part, list[i], keys[k])
        print_row(list[i], cells, n_keys)
    }
    printf "\n(%d rounds)\n", rounds[part]
}

function print_markdown(    p, g, i, value) {
    print "## Results\n"
    for (i = 1; i <= n_facts; i++)
        printf "- %s: %s\n", fact_name[i], fact_text[i]
    for (p = 1; p <= n_parts; p++)
        if (contenders[part_name[p]] != "")
            print_part(part_name[p])
    print "\n### Goals\n"
    printf "| %-68s | %8s | %8s | %-12s |\n", "figure", "goal", "measured", ""
    print "| --- | --: | --: | --- |"
    for (g = 1; g <= n_goals; g++) {
        value = goal_value(g)
        printf "| %-68s | %8s | %8s | %-12s |\n", goal[g, 1], limit_text(goal[g, 2]), \
            (value == "" ? "" : sprintf("%.2f", value)), goal_verdict(g)
    }
    print_caution()
}

function limit_text(limit) {
    return limit == "-" ? "" : sprintf("<= %5s", limit)
}

# In a closed loop the contender is busy all the time, unless somebody else has its CPU.
function print_caution(    busy) {
    busy = median_of("small", "nginx", "busy")
    if (busy != "" && busy < 0.8)
        printf "\nThe machine was not idle: nginx got %.0f %% of its CPU. Ratios of CPU time hold, " \
            "latencies and requests/s do not.\n", busy * 100
}

function quote(text) {
    gsub(/[\\"]/, "\\\\&", text)
    return "\"" text "\""
}

function print_json_figures(part, c,    i, first, keys, n, value) {
    n = split("seconds requests events " column_list(), keys, " ")
    first = 1
    for (i = 1; i <= n; i++) {
        value = median_of(part, c, keys[i])
        if (value == "")
            continue
        printf "%s%s: %s", (first ? "" : ", "), quote(keys[i]), value + 0
        first = 0
    }
}

function column_list(    key, list) {
    for (key in column_header)
        list = list " " key
    return list
}

function print_json(    i, p, part, n, list, value, separator) {
    printf "{\n  \"facts\": {"
    for (i = 1; i <= n_facts; i++)
        printf "%s\n    %s: %s", (i > 1 ? "," : ""), quote(fact_name[i]), quote(fact_text[i])
    printf "\n  },\n  \"medians\": ["
    for (p = 1; p <= n_parts; p++) {
        part = part_name[p]
        n = split(contenders[part], list, " ")
        for (i = 1; i <= n; i++) {
            printf "%s\n    {\"part\": %s, \"contender\": %s, \"rounds\": %d, ", separator, \
                quote(part), quote(list[i]), rounds[part]
            print_json_figures(part, list[i])
            printf "}"
            separator = ","
        }
    }
    printf "\n  ],\n  \"goals\": ["
    for (i = 1; i <= n_goals; i++) {
        value = goal_value(i)
        printf "%s\n    {\"figure\": %s, \"goal\": %s, \"measured\": %s, \"verdict\": %s}", \
            (i > 1 ? "," : ""), quote(goal[i, 1]), (goal[i, 2] == "-" ? "null" : goal[i, 2]), \
            (value == "" ? "null" : value + 0), quote(goal_verdict(i))
    }
    print "\n  ]\n}"
}
