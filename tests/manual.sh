#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual pages are mdoc without an error.  Skipped where mandoc is not installed.
set -u
command -v mandoc >/dev/null || exit 77
failed=0
for page in "${top_builddir:-.}"/doc/*.[1-8] "${top_srcdir:-.}"/doc/*.[1-8]; do
    [ -f "$page" ] || continue
    complaints=$(mandoc -T lint -W error "$page") || { echo "$complaints"; failed=1; }
done
exit $failed
