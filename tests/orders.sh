#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each command that a process answers has its role at the admin port (common/service/admin_roles.c).
set -u
cd "${top_srcdir:-.}" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# The tables of struct control_command, and the names that the control child compares.
find common directory frontend backend -name '*.c' -exec cat {} + | tr '\n' ' ' |
    grep -oE 'struct control_command [a-z_]+\[\] = \{[^;]*;' | grep -oE '\{ "[a-z-]+"' >"$work/tables"
cat common/service/control_*.c | grep -oE 'strcmp\(command, "[a-z-]+"\)|\{ "(ping|status)"' >>"$work/tables"
grep -oE '"[a-z-]+"' "$work/tables" | tr -d '"' | sort -u >"$work/answered"
grep -oE '\{ "[a-z-]+", ADMIN_ROLE_' common/service/admin_roles.c |
    grep -oE '"[a-z-]+"' | tr -d '"' | sort >"$work/listed"

[ "$(wc -l <"$work/answered")" -ge 20 ] || { echo 'this test no longer finds the commands'; exit 1; }
comm -23 "$work/answered" "$work/listed" >"$work/missing"
sed 's/$/: is answered, but has no role in common\/service\/admin_roles.c/' "$work/missing"
[ ! -s "$work/missing" ]
