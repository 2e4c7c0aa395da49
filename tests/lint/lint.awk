# SPDX-License-Identifier: Apache-2.0
# Reads layers.map (variable MAP), then the files that standard input names, and prints one line for
# each thing that breaks a rule: "RULE FILE:LINE: text".

BEGIN {
    read_map()
}

{
    file = $0
    files[file] = 1
    read_file(file)
}

END {
    check_pairs()
    check_corpora()
}

# --- the map ---

function read_map(    line, n_lines) {
    while ((getline line <map) > 0) {
        n_lines++
        if (line !~ /^#/ && line !~ /^ *$/)
            read_map_line(line, n_lines)
    }
    close(map)
    if (n_homes == 0)
        found("map", map, 0, "says nothing")
}

function read_map_line(line, line_number,    field, n, i) {
    n = split(line, field, /[ \t]+/)
    if (field[1] == "rank") {
        rank[field[2]] = field[3]
    } else if (field[1] == "home") {
        for (i = 3; i <= n; i++)
            home[++n_homes] = to_regex(field[2]) SUBSEP to_regex(field[i])
    } else if (field[1] == "system") {
        for (i = 2; i <= n; i++)
            system_header[++n_system] = to_regex(field[i])
    } else if (field[1] == "headless") {
        headless[field[2]] = 1
    } else if (field[1] == "bodiless") {
        bodiless[field[2]] = 1
    } else if (field[1] == "banned") {
        sub(/^banned +[^ ]+ +/, "", line)
        banned[field[2]] = line
    } else {
        found("map", map, line_number, "unknown word " field[1])
    }
}

function to_regex(glob) {
    gsub(/[.+]/, "[&]", glob)
    gsub(/[*]/, "[^/]*", glob)
    return "^" glob "$"
}

function found(rule, name, line, text) {
    printf "%s %s:%d: %s\n", rule, name, line, text
}

# --- one file ---

function read_file(name,    line, n, is_c, is_ours) {
    is_c = name ~ /\.[ch]$/
    is_ours = is_c && name ~ /^(src|include)\//
    in_comment = 0
    guard = ""
    has_licence = 0
    while ((getline line <name) > 0) {
        n++
        if (n <= 2)
            check_licence(name, line, n)
        if (n == 1 && !is_c && !is_text(name, line))
            break
        check_later(name, n, line)
        if (is_c)
            check_c_line(name, n, line, is_ours)
    }
    close(name)
    if (!has_licence && (needs_licence(name) || is_script))
        found("licence", name, 1, "no SPDX-License-Identifier: Apache-2.0 in the first lines")
    if (is_ours && name ~ /\.h$/ && guard == "")
        found("guard", name, 1, "no header guard")
}

# Scripts have their interpreter in the first line and the licence in the second.
function check_licence(name, line, n) {
    if (n == 1)
        is_script = line ~ /^#!/
    if ((n == 1 || is_script) && line ~ /SPDX-License-Identifier: Apache-2\.0( \*\/)?$/)
        has_licence = 1
}

function needs_licence(name) {
    return name ~ /\.([ch]|cmake|mjs|js|cjs|ts|sh|awk|map|py|service)$/ || name ~ /(^|\/)CMakeLists\.txt$/
}

# Files that people write line by line; the others (JSON, text, pictures) have no rules here.
function is_text(name, line) {
    return needs_licence(name) || line ~ /^#!/
}

function check_later(name, n, line) {
    if (line ~ /(^|[^A-Za-z_])(TO[D]O|FIX[M]E|X[X]X|HAC[K])([^A-Za-z_]|$)/)
        found("later", name, n, "do it or leave it: " line)
}

# --- C ---

function check_c_line(name, n, line, is_ours,    code) {
    if (is_ours)
        check_layout(name, n, line)
    if (line ~ /^ *# *include/) {
        if (is_ours)
            check_include(name, n, line)
        return
    }
    if (!is_ours)
        return
    if (guard == "" && line ~ /^#ifndef /)
        check_guard(name, n, line)
    code = without_text(line)
    check_banned(name, n, code)
}

function check_layout(name, n, line) {
    if (line ~ /\t/)
        found("layout", name, n, "a tab")
    if (line ~ /[ \t\r]$/)
        found("layout", name, n, "a blank at the end")
    if (length(line) > 100)
        found("layout", name, n, "longer than 100 columns")
}

function check_include(name, n, line,    header, part) {
    header = line
    if (line ~ /</) {
        sub(/^[^<]*</, "", header)
        sub(/>.*/, "", header)
        check_foreign(name, n, header)
        return
    }
    sub(/^[^"]*"/, "", header)
    sub(/".*/, "", header)
    split(name, part, "/")
    check_layer(name, n, name == "src/main.c" ? "" : part[2], header)
    if (name ~ /\.c$/ && index(header, part[2] "/") == 1)
        has_header[name] = has_source[header] = 1
}

function check_foreign(name, n, header,    i, part, has_home) {
    for (i = 1; i <= n_system; i++)
        if (header ~ system_header[i])
            return
    for (i = 1; i <= n_homes; i++) {
        split(home[i], part, SUBSEP)
        if (header !~ part[1])
            continue
        has_home = 1
        if (name ~ part[2])
            return
    }
    found("home", name, n, "<" header "> " (has_home ? "has another home" : "is not in layers.map"))
}

# FOLDER is empty for main.c, which stands above all.
function check_layer(name, n, folder, header,    target) {
    target = header
    if (!sub(/\/.*/, "", target)) {
        found("layer", name, n, "\"" header "\" should be named with its folder")
        return
    }
    if (!(target in rank))
        found("layer", name, n, "folder " target " is not in layers.map")
    else if (folder != "" && !(folder in rank))
        found("layer", name, n, "folder " folder " is not in layers.map")
    else if (folder != "" && folder != target && rank[target] + 0 >= rank[folder] + 0)
        found("layer", name, n, folder " (rank " rank[folder] ") includes \"" header "\" (rank " \
            rank[target] ")")
}

function check_guard(name, n, line,    want) {
    want = name
    sub(/^(src|include)\//, "", want)
    gsub(/[^A-Za-z0-9]/, "_", want)
    want = toupper(want)
    guard = line
    sub(/^#ifndef +/, "", guard)
    if (name ~ /\.h$/ && guard != want)
        found("guard", name, n, guard " should be " want)
}

# LINE without what stands in comments and string literals. Carries IN_COMMENT to the next line.
function without_text(line,    code, rest) {
    rest = line
    code = ""
    while (rest != "") {
        if (in_comment) {
            if (!match(rest, /\*\//))
                return code
            rest = substr(rest, RSTART + 2)
            in_comment = 0
        } else if (match(rest, /^"([^"\\]|\\.)*"/) || match(rest, /^'([^'\\]|\\.)*'/)) {
            code = code "\"\""
            rest = substr(rest, RLENGTH + 1)
        } else if (rest ~ /^\/\//) {
            return code
        } else if (rest ~ /^\/\*/) {
            rest = substr(rest, 3)
            in_comment = 1
        } else {
            match(rest, /^[^"'\/]+|^./)
            code = code substr(rest, 1, RLENGTH)
            rest = substr(rest, RLENGTH + 1)
        }
    }
    return code
}

function check_banned(name, n, code,    word) {
    while (match(code, /[A-Za-z_][A-Za-z0-9_]* *\(/)) {
        word = substr(code, RSTART, RLENGTH)
        sub(/ *\($/, "", word)
        if (word in banned)
            found("banned", name, n, word ": " banned[word])
        code = substr(code, RSTART + RLENGTH)
    }
}

# --- the tree ---

# A source is declared by a header of its own folder, and what a header declares is in a source of its
# own folder; that they include each other is what makes the compiler compare them.
function check_pairs(    name, short) {
    for (name in files) {
        short = name
        sub(/^(src|include)\//, "", short)
        if (name ~ /^src\/.*\.c$/ && !(name in has_header) && !(name in headless))
            found("pair", name, 0, "includes no header of its folder")
        else if (name ~ /^(src|include)\/.*\.h$/ && !(short in has_source) && !(name in bodiless))
            found("pair", name, 0, "no source of its folder includes it")
    }
}

function check_corpora(    name, target) {
    # Corpora are left out of the list, so they are asked for by name.
    for (name in files) {
        if (name !~ /^tests\/fuzz\/fuzz_[^\/]*\.c$/)
            continue
        target = name
        gsub(/^tests\/fuzz\/fuzz_|\.c$/, "", target)
        if (system("test -n \"$(ls tests/fuzz/corpus/" target " 2>/dev/null)\"") != 0)
            found("corpus", name, 0, "no seed in tests/fuzz/corpus/" target)
        targets[target] = 1
    }
    while (("ls tests/fuzz/corpus 2>/dev/null" | getline target) > 0)
        if (!(target in targets))
            found("corpus", "tests/fuzz/corpus/" target, 0, "no target fuzz_" target ".c")
}
