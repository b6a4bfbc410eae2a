#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each source, page and test of the tree is named in Makefile.am, and so in the tarball.
set -u
cd "${top_srcdir:-.}" || exit 1
status=0

for file in $(find admin backend common contrib directory doc frontend tests \
        -name '*.[ch]' -o -name '*.md' -o -name '*.py' -o -name '*.sh' -o -path 'tests/bench/*' -type f); do
    case $file in *__pycache__*) continue ;; esac
    grep -qF "$file" Makefile.am && continue
    echo "$file: is not named in Makefile.am"
    status=1
done
exit $status
