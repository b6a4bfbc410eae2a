#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each manual page is right by mandoc's own judgement, and the synopsis of mailstead(1) has every
# command and option that --help shows.
set -u
source=${top_srcdir:-.} build=${top_builddir:-.}
failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

if command -v mandoc >/dev/null; then
    for page in "$source"/doc/*.[1-8] "$build"/doc/mailstead.conf.5; do
        case $page in *'*'*) continue ;; esac
        mandoc -Tlint -W warning "$page" || failed=1
    done
else
    echo 'mandoc is not installed: pages are not checked'
fi

# The lines of the synopsis for the command $1, or $1 $2.
synopsis() {
    awk -v first="$1" -v second="${2:-}" '
        /^\.Sh DESCRIPTION/ { exit }
        /^\.Nm/ { if (is_it) print text; text = ""; is_it = 0 }
        { text = text "\n" $0 }
        $1 == ".Cm" && $2 == first && (second == "" || index($0 " ", " " second " ")) { is_it = 1 }
        END { if (is_it) print text }' "$source/doc/mailstead.1"
}

# Every subcommand that --help shows is in the synopsis of mailstead(1), with all of its options;
# "choice" stands for some of them.
if [ -x "$build/mailstead" ]; then
    choice=' --backend --sender --recipient --domain --older-than --state '
    "$build/mailstead" --help |
        awk '/^  [a-z]/ { count[$1]++; first[NR] = $1; second[NR] = $2 }
             END { for (i in first) print first[i], (count[first[i]] > 1 ? second[i] : "") }' >"$work/commands"
    while read -r command; do
        # shellcheck disable=SC2086
        synopsis $command >"$work/synopsis"
        # shellcheck disable=SC2086
        "$build/mailstead" $command --help | sed -n '/^usage:/,/^$/p' | grep -oE -e '--[a-z-]+' >"$work/options"
        [ -s "$work/synopsis" ] || echo "mailstead.1 does not tell of $command" >>"$work/lacks"
        while read -r option; do
            case $choice in *" $option "*) grep -q 'Ar choice' "$work/synopsis" && continue ;; esac
            grep -qE "(Fl|\|) ${option#-}( |\$)" "$work/synopsis" ||
                echo "mailstead.1 does not tell of $command $option" >>"$work/lacks"
        done <"$work/options"
    done <"$work/commands"
    [ "$(wc -l <"$work/commands")" -ge 30 ] || echo 'this test no longer finds the commands' >>"$work/lacks"
    if [ -e "$work/lacks" ]; then
        cat "$work/lacks"
        failed=1
    fi
fi

# The two complete examples in mailstead.conf(5) are right, but for the files that are not here.
if [ -x "$build/mailstead" ]; then
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
