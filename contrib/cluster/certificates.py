# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the cluster's own, and a certificate for each server."""
from pathlib import Path

from .process import run


NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
ADMINISTRATORS = ("operator", "reader")  # who has a certificate of the admin CA, by its common name


class Certificates:
    """ca.pem, and NAME.pem with NAME.key for each server, in `folder`/tls.

    There, too: admin-ca.pem and a pair for each of ADMINISTRATORS, for the daemons' admin ports.
    """

    def __init__(self, folder):
        self.folder = Path(folder) / "tls"
        self.ca = self.folder / "ca.pem"
        self.admin_ca = self.folder / "admin-ca.pem"

    def certificate(self, name):
        return self.folder / f"{name}.pem"

    def key(self, name):
        return self.folder / f"{name}.key"

    def create(self, servers):
        """Makes the CAs and one certificate for each name of `servers`: {name: [host names and addresses]}."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.found("ca", "Mailstead test CA")
        self.found("admin-ca", "Mailstead test admin CA")
        for name, hosts in servers.items():
            self.issue(name, hosts)
        for name in ADMINISTRATORS:
            self.issue_client(name)

    def found(self, ca, title):
        """Makes an authority."""
        run(["openssl", "req", "-x509", *NEW_KEY, "-keyout", self.key(ca), "-out", self.certificate(ca),
             "-days", "30", "-subj", f"/CN={title}", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign"], f"making the {title}")
        self.key(ca).chmod(0o600)

    def issue(self, name, hosts):
        """One more certificate of a server, signed by the CA."""
        alternatives = ",".join(f"IP:{host}" if host[0].isdigit() else f"DNS:{host}" for host in hosts)
        self.sign(name, "ca", f"/CN={hosts[0]}", f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth,clientAuth\n")

    def issue_client(self, name, ca="admin-ca", subject=None, more=""):
        """One more certificate of an administrator, signed by the admin CA unless another is asked for."""
        self.sign(name, ca, subject or f"/CN={name}", f"extendedKeyUsage=clientAuth\n{more}")

    def sign(self, name, ca, subject, extensions, days=30):
        request, file = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        file.write_text(f"basicConstraints=CA:FALSE\n{extensions}")
        run(["openssl", "req", *NEW_KEY, "-keyout", self.key(name), "-out", request, "-subj", subject],
            f"making the key of {name}")
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.certificate(ca), "-CAkey", self.key(ca),
             "-CAcreateserial", "-days", str(days), "-extfile", file,
             "-out", self.certificate(name)], f"signing the certificate of {name}")
        request.unlink()
        file.unlink()
        self.key(name).chmod(0o600)
