/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real slapd for unit tests: mdb, content synchronisation, Mailstead's schema, on a unix socket
 * in a folder of its own.  Its administrator is cn=root,dc=example,dc=org, password "secret".
 */
#ifndef MAILSTEAD_TESTS_SLAPD_H
#define MAILSTEAD_TESTS_SLAPD_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#define SLAPD_SUFFIX "dc=example,dc=org"
#define SLAPD_PEOPLE "ou=people,dc=example,dc=org"
#define SLAPD_ROOT "cn=root,dc=example,dc=org"
#define SLAPD_SECRET "secret"

struct slapd {
    char folder[64];
    char uri[128];       /* ldapi:// */
    char more_uris[256]; /* others that it listens on, each behind a space */
    pid_t pid;           /* 0: it does not run */
    unsigned deaths;     /* how often it died by itself and was started again */
};

/* False when no slapd is installed: the test is to be skipped (exit status 77). */
bool slapd_is_installed(void);

/*
 * Makes the folder, with the suffix and ou=people.  `more` is added to the database's
 * configuration ("" or lines with a line break each).
 */
void slapd_init(struct slapd *slapd, const char *more);

/*
 * Makes it listen with TLS too, at 127.0.0.1 and 127.0.0.2: StartTLS on `port`, ldaps on
 * `tls_port`.  Its certificate is for 127.0.0.1 only, by the authority FOLDER/ca.pem;
 * FOLDER/other.pem is another one.  Before slapd_start.
 */
void slapd_add_tls(struct slapd *slapd, unsigned port, unsigned tls_port);

/* Stops it and removes its folder. */
void slapd_fini(struct slapd *slapd);

/* Starts it and waits until it answers; stops it and waits until it is gone. */
void slapd_start(struct slapd *slapd);
void slapd_stop(struct slapd *slapd, int signal);
/* Starts it again if it has died by itself, as 2.5 may when a transaction is not committed. */
void slapd_revive(struct slapd *slapd);
/* Returns when it does nothing any more; SIGCONT wakes it. */
void slapd_freeze(struct slapd *slapd);

/* Runs ldapmodify with LDIF as the administrator; fails the test when that fails. */
void slapd_modify(const struct slapd *slapd, const char *ldif);

/* Hides what matches the filter from all but the administrator; NULL: nothing any more.  It does
 * not run. */
void slapd_hide(const struct slapd *slapd, const char *filter);

/*
 * Starts one transaction (RFC 5805) of LDIF changes; how it ends is left open: it may fail, or the
 * server may die in it.  The stream is the caller's to pclose.
 */
FILE *slapd_begin_transaction(const struct slapd *slapd, const char *ldif);

/* Adds accounts userN, `first` to `last`, at `host` (NULL: none): the running or stopped server's.
 */
void slapd_add_accounts(const struct slapd *slapd, unsigned first, unsigned last, const char *host);

/* The count of entries that match a filter. */
unsigned slapd_count(const struct slapd *slapd, const char *filter);

#endif
