# SPDX-License-Identifier: Apache-2.0
# Counts what `ctest -V` ran, with CMOCKA_MESSAGE_OUTPUT=TAP: prints "PASSED FAILED SKIPPED", and
# writes the output of every failed test to the file that the variable FAILURES names.
#
# A program that prints a TAP plan counts its functions; what it planned and did not report died with
# it. A program without a plan counts as one test, by its exit status.

# "12: text", a line that test number 12 printed.
/^[0-9]+: / {
    id = $1 + 0
    line = substr($0, length($1) + 2)
    output[id] = output[id] line "\n"
    if (line ~ /^1\.\.[0-9]+$/) {
        has_plan[id] = 1
        planned[id] += substr(line, 4)
    } else if (line ~ /^(not )?ok [0-9]+.*# SKIP/) {
        skipped[id]++
    } else if (line ~ /^ok [0-9]+/) {
        ok[id]++
    } else if (line ~ /^not ok [1-9]/) {
        not_ok[id]++
    }
}

# " 3/40 Test #12: unit_base_str ....   Passed    0.01 sec"
/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
    id = $0
    sub(/^[^#]*#/, "", id)
    id += 0
    name[id] = $0
    sub(/^[^#]*#[0-9]+: /, "", name[id])
    sub(/ .*/, "", name[id])
    clean[id] = / Passed /
    n_programs++
}

# How many of the functions of program ID failed; one at least when its exit status says so.
function count_failed(id,    n) {
    n = planned[id] - ok[id] - skipped[id]
    if (n < not_ok[id])
        n = not_ok[id]
    return n < 1 && !clean[id] ? 1 : n
}

END {
    printf "" >failures
    for (id in name) {
        if (!has_plan[id]) {
            planned[id] = ok[id] = clean[id]
            not_ok[id] = skipped[id] = 0
        }
        n = count_failed(id)
        if (n > 0)
            printf "--- %s: %d failed\n%s", name[id], n, output[id] >failures
        sum_passed += ok[id]
        sum_failed += n
        sum_skipped += skipped[id]
    }
    # ctest that could not start ran nothing, and that is no success.
    print sum_passed + 0, n_programs == 0 ? 1 : sum_failed + 0, sum_skipped + 0
}
