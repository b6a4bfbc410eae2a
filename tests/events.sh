#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each event that the programs log is explained in mailstead-log(7); each that is a warning or an
# error has a page in doc/runbook, on whose line "Events:" it stands; and neither tells of
# events that are no more.
set -u
cd "${top_srcdir:-.}" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

# The sources with each call on one line.
find common directory frontend backend admin -name '*.c' -exec cat {} + | tr '\n' ' ' |
    sed 's/;/;\n/g' >"$work/statements"

names() { grep -oE '"[a-z][a-z0-9_]*"' | tr -d '"' | sort -u; }

# LOG_EVENT(level, id, "name", ...): what is quoted in its third argument.
grep -oE 'LOG_EVENT\([^,]*,[^,]*,[^,)]*' "$work/statements" >"$work/calls"
sed -E 's/^[^,]*,[^,]*,//' "$work/calls" | names >"$work/direct"
grep -E 'LOG_LEVEL_(WARNING|ERROR)' "$work/calls" | grep -v 'LOG_LEVEL_INFO' |
    sed -E 's/^[^,]*,[^,]*,//' | names >"$work/alarms"
# Functions and variables that hand a name on: log_failure(x, "name", ...), event = ... "name".
grep -oE '[a-z_]*log_failure\([^,]*, *"[a-z0-9_]+"' "$work/statements" | names >"$work/failures"
grep -oE '\bevent = [^;]*' "$work/statements" | names >"$work/variables"
sort -u "$work/direct" "$work/failures" "$work/variables" >"$work/all"
sort -u "$work/alarms" "$work/failures" >"$work/to_act_on"

[ "$(wc -l <"$work/all")" -ge 20 ] || { echo 'this test no longer finds the events'; exit 1; }

grep -E '^\.It Em ' doc/mailstead-log.7 | sed -E 's/^\.It Em //; s/\(!\)//g; s/[ ,]+/\n/g' |
    grep . | sort -u >"$work/explained"
sed -nE 's/^Events: //p' doc/runbook/*.md | tr -d '`,' | tr ' ' '\n' | grep . | sort -u >"$work/paged"

tell() { while read -r name; do echo "$name: $1"; done; }

# shellcheck disable=SC2094
{
    comm -23 "$work/all" "$work/explained" | tell 'is logged, but is not in doc/mailstead-log.7'
    comm -13 "$work/all" "$work/explained" | tell 'is in doc/mailstead-log.7, but is never logged'
    comm -23 "$work/to_act_on" "$work/paged" |
        tell 'is a warning or an error, but stands on no "Events:" line in doc/runbook'
    comm -13 "$work/all" "$work/paged" | tell 'has a page in doc/runbook, but is never logged'
} >"$work/troubles"
cat "$work/troubles"
[ -s "$work/troubles" ] && failed=1
exit $failed
