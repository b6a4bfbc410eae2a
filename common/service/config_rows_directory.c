/* SPDX-License-Identifier: Apache-2.0 */
/* Where the accounts are, and how they are followed. */
#include "common/service/config_rows.h"

static const struct config_option directory_options[] = {
    LIST(URI_LIST, directory_config, uri, NULL, DAEMONS,
         "The LDAP servers to follow; the first that answers is used."),
    LIST(URI_LIST, directory_config, confirm_uri, NULL, 0,
         "The servers of which one is asked before an address is called unknown, each when those "
         "before it do not answer; without any, the followed one."),
    TEXT(directory_config, base, NULL, DAEMONS, "The base under which the accounts are."),
    TEXT(directory_config, bind_dn, NULL, 0,
         "The identity for reading; without it, SASL EXTERNAL on ldapi://, else anonymous."),
    SECRET(directory_config, bind_password, "bind_password_file",
           "The file with the password of bind_dn."),
    BOOLEAN(directory_config, starttls, "false", "STARTTLS on ldap:// connections."),
    PATH(directory_config, ca, "ca", NULL, TEXT_MAX,
         "The PEM file of the authorities of LDAP servers; without it, the system's."),
    TEXT(directory_config, filter, "(objectClass=mailsteadAccount)", 0,
         "The LDAP filter that accounts match."),
    LIST(TEXT_LIST, directory_config, address_attributes, "mail", 0,
         "The attributes that hold an account's mail addresses."),
    LIST(TEXT_LIST, directory_config, login_attributes, "uid, mail", 0,
         "The attributes that hold the names that an account logs in with."),
    TEXT(directory_config, host_attribute, "hostServer", 0,
         "The attribute that names the backend that owns the account."),
    TEXT(directory_config, old_host_attribute, "oldHostServer", 0,
         "The attribute that names the backend whose storage a moved account is on."),
    TEXT(directory_config, store_name_attribute, "mail", 0,
         "The attribute whose first value is the account's name at its backend."),
    TEXT(directory_config, relay_filter, NULL, 0,
         "The LDAP filter of entries without a backend whose mail goes to the relay host."),
    ROW(TEXT, directory_config, recipient_delimiter, "recipient_delimiter", "+", 0, 1, NULL, 0,
        "The character between an address and its detail; empty: there are no details."),
    NUMBER(directory_config, confirm_rate, "50", 1, 100000,
           "Live searches a second for addresses that the mirror does not have."),
    NUMBER(
        directory_config, return_s, "300", 0, DAY_S,
        "Seconds after which the first server of uri is tried again while another is followed; 0: "
        "never."),
    NUMBER(
        directory_config, recheck_rate, "2000", 1, 100000,
        "Accounts a second that are read again after a change was told: it may have been undone."),
    NUMBER(directory_config, compare_interval_s, "86400", 0, 30 * DAY_S,
           "Seconds between comparisons of the whole mirror with the directory; 0: never."),
    NUMBER(directory_config, compare_rate, "2000", 1, 100000,
           "Entries a second that a comparison reads."),
    NUMBER(directory_config, hold_accounts, "20", 0, 1000000,
           "So many of a domain's accounts may be missing from a refresh and are removed."),
    NUMBER(
        directory_config, hold_percent, "25", 1, 100,
        "When more than hold_accounts and more than this share of a domain, or of everything, are "
        "missing, they are held; 100: never."),
    NUMBER(
        directory_config, refresh_spread_s, "30", 0, 3600,
        "A full refresh of a mirror that serves waits for a random time up to this, and up to ten "
        "seconds a million accounts."),
    TEXT(directory_config, backend_base, NULL, 0,
         "The base under which backends are entries, beside those of the section cluster; without "
         "it, there are none."),
    TEXT(directory_config, backend_filter, "(objectClass=mailsteadBackend)", 0,
         "The LDAP filter that backends match."),
    TEXT(directory_config, backend_name_attribute, "cn", 0,
         "The attribute with a backend's name: the hostServer value of its accounts."),
    TEXT(directory_config, backend_address_attribute, "backendAddress", 0,
         "The attribute with its IP addresses or host names, four at most."),
    TEXT(directory_config, backend_lmtp_port_attribute, "backendLmtpPort", 0,
         "The attribute with the port where it takes LMTP; an entry without it means 24."),
    TEXT(directory_config, backend_imap_port_attribute, "backendImapPort", 0,
         "The attribute with the port where it takes IMAP; an entry without it means 143."),
    TEXT(directory_config, backend_pop3_port_attribute, "backendPop3Port", 0,
         "The attribute with the port where it takes POP3; an entry without it means 110."),
    TEXT(directory_config, backend_sieve_port_attribute, "backendSievePort", 0,
         "The attribute with the port where it takes ManageSieve; an entry without it means 4190."),
    TEXT(directory_config, backend_weight_attribute, "backendWeight", 0,
         "The attribute with its share when accounts are planned; an entry without it means 1."),
    TEXT(directory_config, backend_state_attribute, "backendState", 0,
         "The attribute with its state, up, leaving or down; an entry without it means up."),
    BOOLEAN(directory_config, unverified_backends, "false",
            "Whether backends come from the directory although backend_tls does not verify who "
            "they are: then whoever can write an entry there is given passwords."),
};

const struct config_section config_directory_section =
    SINGLE("directory", "", offsetof(struct config, directory), directory_options,
           "The LDAP directory that routes.");
