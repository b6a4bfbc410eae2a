#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# contrib/prometheus/alerts.yml: each rule names metrics and events that there are and a page of the
# runbook, whose README has it in its table; each page has a rule, or a reason not to.
set -u
cd "${top_srcdir:-.}" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
rules=contrib/prometheus/alerts.yml
no_rule="accounts-moved failover"  # whoever reads it has the command that stopped before him

sed -n 's/.*expr: //p' $rules >"$work/expressions"
[ "$(wc -l <"$work/expressions")" -ge 30 ] || { echo 'this test no longer finds the rules'; exit 1; }

# The metrics as they are shown: GAUGE("x") is mailstead_x, COUNTER("x") mailstead_x_total ...
sed -nE 's/^ +(GAUGE|SECONDS|BYTES|COUNTER|INFO)\("([a-z_]+)".*/\1 \2/p' common/service/metrics_table.c |
    sed -e 's/GAUGE \(.*\)/mailstead_\1/' -e 's/SECONDS \(.*\)/mailstead_\1_seconds/' \
        -e 's/BYTES \(.*\)/mailstead_\1_bytes/' -e 's/COUNTER \(.*\)/mailstead_\1_total/' \
        -e 's/INFO \(.*\)/mailstead_\1_info/' | sort -u >"$work/metrics"
grep -oE 'mailstead_[a-z_]+' "$work/expressions" | sort -u >"$work/used"
grep -oE 'event=~?"[^"]+"' "$work/expressions" | sed -E 's/.*"(.*)"/\1/' | tr '|' '\n' | sort -u >"$work/events"
sed -nE 's/^Events: //p' doc/runbook/*.md | tr -d '`,' | tr ' ' '\n' | grep . | sort -u >"$work/known"
sed -nE 's/.*runbook: doc\/runbook\/([a-z-]+)\.md.*/\1/p' $rules | sort >"$work/pages"
sed -nE 's/.*- alert: (.*)/\1/p' $rules >"$work/names"

tell() { while read -r name; do echo "$name: $1"; done; }

# shellcheck disable=SC2094
{
    comm -13 "$work/metrics" "$work/used" | tell "is in $rules, but is no metric"
    comm -13 "$work/known" "$work/events" | tell "is in $rules, but on no \"Events:\" line of the runbook"
    while read -r page; do [ -e "doc/runbook/$page.md" ] || echo "$page"; done <"$work/pages" |
        tell "is named in $rules, but is no page of the runbook"
    for page in doc/runbook/*.md; do
        page=$(basename "$page" .md)
        case " README $no_rule " in *" $page "*) continue ;; esac
        grep -qx "$page" "$work/pages" || echo "$page"
    done | tell "is a page of the runbook, but no rule of $rules leads there"
    sort "$work/names" | uniq -d | tell 'is the name of two rules'
    while read -r name; do grep -q "^| $name |" doc/runbook/README.md || echo "$name"; done <"$work/names" |
        tell 'is a rule, but not in the table of doc/runbook/README.md'
    [ "$(grep -c 'alert: ' $rules)" = "$(wc -l <"$work/pages")" ] || echo "a rule of $rules has no page"
} >"$work/troubles"
cat "$work/troubles"
[ ! -s "$work/troubles" ]
