# SPDX-License-Identifier: Apache-2.0
# Findings of lint.awk on standard input, TAP on standard output; exits 1 when there is one.

BEGIN {
    rule("licence", "every file names its licence in its first lines")
    rule("layer", "includes point to a lower layer or stay in their folder")
    rule("home", "each foreign header is included in its one home")
    rule("guard", "header guards are named after their path")
    rule("pair", "every source has its header and every header its source")
    rule("banned", "no dangerous function is called")
    rule("layout", "no tabs, trailing blanks or long lines")
    rule("later", "nothing is left for later")
    rule("corpus", "every fuzz target has seeds and every corpus a target")
}

function rule(name, promise) {
    names[++n_rules] = name
    promises[name] = promise
}

NF > 0 {
    text = $0
    sub(/^[^ ]+ /, "", text)
    found[$1] = found[$1] "# " text "\n"
    if (!($1 in promises))
        unknown = unknown "# " $0 "\n"
}

END {
    printf "1..%d\n", n_rules
    for (i = 1; i <= n_rules; i++) {
        name = names[i]
        printf "%sok %d - %s: %s\n%s", found[name] == "" ? "" : "not ", i, name, promises[name],
            found[name]
        failed += found[name] != ""
    }
    printf "%s", unknown
    exit failed > 0 || unknown != ""
}
