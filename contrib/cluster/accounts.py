# SPDX-License-Identifier: Apache-2.0
"""The accounts of the cluster: userN@example.org with the password secretN, spread over the backends."""
import base64
import hashlib
import os
from typing import NamedTuple

DOMAIN = "example.org"
SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
BACKENDS = f"ou=backends,{SUFFIX}"


class Account(NamedTuple):
    number: int
    host: str  # the backend that owns it at the start

    @property
    def uid(self):
        return f"user{self.number}"

    @property
    def address(self):
        return f"{self.uid}@{DOMAIN}"

    @property
    def alias(self):
        """A second address of the same account."""
        return f"alias{self.number}@{DOMAIN}"

    @property
    def password(self):
        return f"secret{self.number}"

    @property
    def dn(self):
        return f"uid={self.uid},{PEOPLE}"


def make_accounts(count, hosts):
    """`count` accounts, the first on the first of `hosts`, the second on the second, and so on."""
    return [Account(number, hosts[(number - 1) % len(hosts)]) for number in range(1, count + 1)]


def hash_password(password):
    salt = os.urandom(8)
    digest = hashlib.sha1(password.encode() + salt).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


def account_ldif(account):
    return "\n".join([
        f"dn: {account.dn}",
        "objectClass: inetOrgPerson",
        "objectClass: mailsteadAccount",
        f"uid: {account.uid}",
        f"cn: {account.uid}",
        f"sn: {account.number}",
        f"mail: {account.address}",
        *([f"mail: {account.alias}"] if account.alias else []),
        f"userPassword: {hash_password(account.password)}",
        f"hostServer: {account.host}",
        "", ""])
