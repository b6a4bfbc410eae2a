#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each header compiles alone, without a warning.
set -u
cd "${top_srcdir:-.}" || exit 1
failed=0
for header in $(find common directory frontend backend admin -name '*.h'); do
    # shellcheck disable=SC2086
    printf '#include "%s"\n' "$header" |
        ${CC:-cc} -D_GNU_SOURCE -I. ${CPPFLAGS:-} -std=gnu11 -Wall -Wextra -Werror \
            -fsyntax-only -x c - || { echo "$header does not compile alone"; failed=1; }
done
exit $failed
