# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the cluster's own, and a certificate for each server."""
from pathlib import Path

from .process import run


class Certificates:
    """ca.pem, and NAME.pem with NAME.key for each server, in `folder`/tls."""

    def __init__(self, folder):
        self.folder = Path(folder) / "tls"
        self.ca = self.folder / "ca.pem"

    def certificate(self, name):
        return self.folder / f"{name}.pem"

    def key(self, name):
        return self.folder / f"{name}.key"

    def create(self, servers):
        """Makes the CA and one certificate for each name of `servers`: {name: [host names and addresses]}."""
        self.folder.mkdir(parents=True, exist_ok=True)
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", self.key("ca"), "-out", self.ca, "-days", "30",
             "-subj", "/CN=Mailstead test CA",
             "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign"], "making the CA")
        for name, hosts in servers.items():
            self.issue(name, hosts)
        for key in self.folder.glob("*.key"):
            key.chmod(0o600)

    def issue(self, name, hosts):
        """One more certificate, signed by the CA."""
        alternatives = ",".join(f"IP:{host}" if host[0].isdigit() else f"DNS:{host}" for host in hosts)
        request = self.folder / f"{name}.csr"
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\n"
                              "extendedKeyUsage=serverAuth\n")
        run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", self.key(name), "-out", request, "-subj", f"/CN={hosts[0]}"],
            f"making the key of {name}")
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key("ca"),
             "-CAcreateserial", "-days", "30", "-extfile", extensions,
             "-out", self.certificate(name)], f"signing the certificate of {name}")
        request.unlink()
        extensions.unlink()
