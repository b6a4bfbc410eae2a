#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each manual page is right by mandoc's own judgement, and mailstead(1) tells of every command and
# option that --help shows.
set -u
source=${top_srcdir:-.} build=${top_builddir:-.}
failed=0

if command -v mandoc >/dev/null; then
    for page in "$source"/doc/*.[1-8] "$build"/doc/mailstead.conf.5; do
        case $page in *'*'*) continue ;; esac
        mandoc -Tlint -W warning "$page" || failed=1
    done
else
    echo 'mandoc is not installed: pages are not checked'
fi

# Every subcommand and option that --help shows is in mailstead(1).
if [ -x "$build/mailstead" ]; then
    for word in $("$build/mailstead" --help | awk '/^  [a-z]/ { print $1 }' | sort -u); do
        grep -qE "^\.(Cm|Ss) $word" "$source/doc/mailstead.1" ||
            { echo "mailstead.1 does not tell of $word"; failed=1; }
    done
    for option in $(for command in status probe lookup who kick drain 'node leave' 'node override' \
                        'storage attach' 'block list' 'block clear' 'queue list' 'queue show' 'queue stat' 'queue hold' 'queue release' 'queue flush' \
                        'queue delete' 'queue bounce' 'queue adopt' 'mirror status' 'mirror accept' \
                        'mirror discard' 'mirror verify' reassign restore dovecot-config check; do
                        # shellcheck disable=SC2086
                        "$build/mailstead" $command --help
                    done | grep -oE -e '--[a-z-]+' | sort -u); do
        grep -qF "Fl ${option#-}" "$source/doc/mailstead.1" ||
            { echo "mailstead.1 does not tell of $option"; failed=1; }
    done
fi

# The two complete examples in mailstead.conf(5) are right, but for the files that are not here.
if [ -x "$build/mailstead" ]; then
    work=$(mktemp -d) || exit 1
    trap 'rm -rf "$work"' EXIT
    awk -v work="$work" '/^\.Bd -literal/ { n++; on = 1; next } /^\.Ed/ { on = 0 }
        on { print > (work "/" n ".conf") }' "$source/doc/mailstead.conf.5.tail"
    sed '/^listen/,$d' "$work/1.conf" >"$work/node.conf" && cat "$work/2.conf" >>"$work/node.conf"
    for example in 1 node; do
        "$build/mailstead" -c "$work/$example.conf" check --offline --json >"$work/said"
        grep -q '"listeners"\|/etc/mailstead' "$work/said" ||
            { cat "$work/said"; failed=1; }
        grep '"text"' "$work/said" | grep -v '/etc/mailstead/' && failed=1
    done
fi
exit $failed
