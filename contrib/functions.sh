# SPDX-License-Identifier: Apache-2.0
# Shell functions that contrib/quickstart and contrib/check share; sourced, never run.
# The caller sets `top`, the root of the source tree.

BUILD_PACKAGES="autoconf automake make gcc libc6-dev pkg-config libuv1-dev libldap-dev libssl-dev
  libsqlite3-dev libcmocka-dev libconfuse-dev libjansson-dev libidn2-dev libcurl4-openssl-dev
  libmicrohttpd-dev"
CLUSTER_PACKAGES="slapd ldap-utils dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd
  dovecot-ldap dovecot-managesieved openssl python3"
CLIENT_PACKAGES="curl swaks libnet-ssleay-perl isync fetchmail mutt offlineimap3 sieve-connect
  bsdutils"
TEST_PACKAGES="python3-pytest python3-pytest-xdist clang-tidy cppcheck mandoc xz-utils"
MANAGER_PACKAGES="pacemaker corosync pacemaker-cli-utils resource-agents psmisc procps keepalived
  nftables iproute2 libxml2-utils"
BENCH_PACKAGES="haproxy nginx-core libnginx-mod-mail postfix postfix-ldap strace"

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# The folder that a script owns when none is asked for: short, since unix sockets have short
# names, and reachable for the users that servers run as, which a home folder may not be.
default_folder() { say "/tmp/mailstead-$1-$(id -u)"; }

# Makes the folder $1, whose files are then ours to delete.  Refuses one that somebody else
# prepared, one that has files of another origin, and a name that configure or a shell trips over.
own_folder() {
    case $1 in
        /*[!A-Za-z0-9/._+@=,-]*) die "--dir $1: only letters, digits and /._+@=,- may be in its path" ;;
        /*) ;;
        *) die "--dir needs a path that begins with /" ;;
    esac
    mkdir -p "$1" || exit 1
    [ -O "$1" ] && [ ! -L "$1" ] || die "$1 belongs to somebody else; choose another with --dir"
    if [ ! -e "$1/.mailstead-own" ]; then
        case $1 in "$(default_folder quickstart)" | "$(default_folder check)") ;; *)
            [ -z "$(ls -A "$1")" ] || die "$1 has files in it that would be deleted; choose a new or an empty one with --dir"
            ;;
        esac
        : >"$1/.mailstead-own"
    fi
    chmod 755 "$1"
    [ "$(id -u)" = 0 ] || return 0
    parent=$(dirname "$1")
    while [ "$parent" != / ]; do
        case $(stat -c %A "$parent") in
            *[xt]) ;;
            *) die "the users that servers run as cannot reach $1: $parent is closed to them" ;;
        esac
        parent=$(dirname "$parent")
    done
}

# Which of the packages "$@" are not installed.
missing_packages() {
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

# Installs what is missing of "$@" without a question and without starting any service.
install_packages() {
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "this needs Debian's apt-get to install: $missing"
    sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "run as root, or install first: apt-get install $missing"
        sudo=sudo
    fi
    say "installing: $missing"
    $sudo sh -c '
        # Policy 101 forbids package scripts to start services; what was there comes back.
        policy=/usr/sbin/policy-rc.d
        restore() {
            rm -f "$policy"
            if [ -e "$policy.mailstead-saved" ]; then mv "$policy.mailstead-saved" "$policy"; fi
        }
        trap restore EXIT
        trap "exit 1" INT TERM HUP
        if [ -e "$policy" ] && [ ! -e "$policy.mailstead-saved" ]; then
            mv "$policy" "$policy.mailstead-saved"
        fi
        printf "#!/bin/sh\nexit 101\n" >"$policy" && chmod 755 "$policy"
        export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
        apt-get -q update && apt-get -q -y --no-install-recommends \
            -o Dpkg::Options::=--force-confold install "$@"
    ' sh $missing </dev/null >"$folder/packages.log" 2>&1 || {
        tail -n 30 "$folder/packages.log"
        die "installing packages failed; all of it is in $folder/packages.log"
    }
}

# Copies the source tree to $1, so that nothing is written beside the original.  What
# autoreconf made there stays, and a file keeps its time: a second build does only what is new.
copy_source() {
    mkdir -p "$1"
    find "$1" -mindepth 1 -maxdepth 1 ! -name configure ! -name Makefile.in ! -name aclocal.m4 \
        ! -name build-aux ! -name m4 ! -name autom4te.cache -exec rm -rf {} +
    tar -C "$top" --exclude=./.git --exclude='./build*' --exclude=./autom4te.cache \
        --exclude=./configure --exclude=./Makefile --exclude=./Makefile.in --exclude=./aclocal.m4 \
        --exclude=./config.status --exclude='*.o' --exclude='*.a' --exclude=.deps \
        --exclude=.dirstamp --exclude=__pycache__ -cf - . | tar -C "$1" -xf -
}

# Makes the configure of the copy $1, if there is none yet.
make_configure() { [ -x "$1/configure" ] || (cd "$1" && autoreconf -i); }

# Configures the copy $1 in $2 with the options "$@" after them, if that was not done yet.
configure_build() {
    copy=$1 build=$2
    shift 2
    make_configure "$copy" || return 1
    mkdir -p "$build"
    [ -e "$build/Makefile" ] || (cd "$build" && "$copy/configure" -q "$@")
}

processors() { nproc 2>/dev/null || say 2; }
