#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Who may include whom (ARCHITECTURE, "Layers").  Prints each include that breaks the rule.
set -u
cd "${top_srcdir:-.}" || exit 1
failed=0

# forbid FOLDER PATTERN REASON: no file under FOLDER may include what PATTERN matches.
forbid() {
    found=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]+[\"<]($2)" "$1" \
                 --include='*.c' --include='*.h' 2>/dev/null)
    if [ -n "$found" ]; then
        printf '%s: %s\n%s\n' "$1" "$3" "$found"
        failed=1
    fi
}

upper='common/session/|frontend/|backend/|admin/'
forbid common/base "common/(proto|io|service)/|directory/|$upper|uv|openssl|sqlite3|ldap|lber|jansson|confuse" \
    'base uses the C library only'
forbid common/proto "common/(io|service)/|directory/|$upper|uv|openssl|sqlite3|ldap|lber|jansson|confuse|time\.h|sys/socket|unistd" \
    'proto uses base only: no clock, no socket, no TLS'
forbid common/io "common/(proto|service)/|directory/|$upper|sqlite3|ldap|lber|jansson|confuse" \
    'io uses base, libuv and OpenSSL'
forbid common/service "common/proto/|directory/|$upper|sqlite3|ldap|lber" \
    'service uses base and io'
forbid common/session "frontend/|backend/|admin/|sqlite3|ldap|lber|confuse" \
    'session uses base, proto, io, service and route'
forbid directory "common/(proto|session)/|frontend/|backend/|admin/" \
    'directory uses base, io and service'
forbid frontend 'backend/|admin/|ldap|lber|confuse' 'frontend never sees backend, admin or libldap'
forbid backend 'frontend/|admin/|ldap|lber|confuse' 'backend never sees frontend, admin or libldap'
forbid admin 'lber|ldap|sqlite3' 'admin reaches libldap only through directory/'

# Only the admin port has the HTTP server, and GnuTLS with it.
found=$(grep -rlE '#[[:space:]]*include[[:space:]]+<(microhttpd|gnutls)' --include='*.[ch]' \
            common directory frontend backend admin | grep -v '^common/service/admin_port')
[ -z "$found" ] || { echo "$found: only common/service/admin_port* may include <microhttpd.h>"; failed=1; }

# Only one module has <ldap.h>.
for file in $(grep -rlE '#[[:space:]]*include[[:space:]]+<(ldap|lber)' --include='*.[ch]' \
                  common directory frontend backend admin 2>/dev/null); do
    case $file in
        directory/ldap_link.c | directory/ldap_link_*.[ch]) ;;
        *) echo "$file: only directory/ldap_link*.c may include <ldap.h>"; failed=1 ;;
    esac
done

for file in $(grep -rlE '#[[:space:]]*include[[:space:]]+<sqlite3' --include='*.[ch]' backend); do
    case $file in
        backend/replica/ledger.c) ;;
        *) echo "$file: only backend/replica/ledger.c may include <sqlite3.h>"; failed=1 ;;
    esac
done

# A protocol machine's undefined symbols are the C library's and base's.
archive=${top_builddir:-.}/libproto.a
if [ -f "$archive" ] && command -v nm >/dev/null; then
    bad=$(nm -u "$archive" 2>/dev/null | awk '$1 == "U" { print $2 }' | sort -u |
        grep -E '^(malloc|calloc|realloc|free|strdup|socket|read|write|recv|send|time|clock_gettime|gettimeofday|uv_|SSL_|memory_new|memory_resize|memory_copy_string)' |
        grep -vE '^__')
    if [ -n "$bad" ]; then
        printf 'common/proto: a machine has no heap, clock or socket, but uses:\n%s\n' "$bad"
        failed=1
    fi
fi
exit $failed
