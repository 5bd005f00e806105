"""Fresh keys and certificates for every cluster, so that nobody else on the machine can use it.

All keys are ECDSA P-256: a fresh set takes milliseconds, where RSA takes seconds.
"""

import datetime
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signoff.core.paths import write_private

_VALID = datetime.timedelta(days=365)
_CLOCK_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its private key."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority; its own key never leaves memory."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the authority `name` and write its certificate to `<folder>/<name>.crt`."""
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._builder(self._subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.cert = folder / f"{name}.crt"
        write_private(self.cert, certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, user: str, groups: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> Pair:
        """Issue `<name>.crt` and `<name>.key` for clients as `user` in `groups`, and for servers at `hosts` if any.

        Kubernetes reads the user from the common name and the groups from the organisations.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
        builder = (
            self._builder(x509.Name(subject), key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_alternative_name, hosts)), critical=False)
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        write_private(pair.key, _pem(key))
        write_private(pair.cert, builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return pair

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + _VALID)
        )


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # OpenSSL's own form ("EC PRIVATE KEY"): the one that Kubernetes accepts for service-account keys as well.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


@dataclass(frozen=True)
class Pki:
    """Every key and certificate of one cluster, as files below `<cluster>/pki`."""

    ca: Path
    etcd_ca: Path
    etcd: Pair
    etcd_client: Pair
    apiserver: Pair
    kubelet_client: Pair
    kubelet_serving: Pair
    admin: Pair
    controller_manager: Pair
    scheduler: Pair
    service_accounts: Pair


def make_pki(folder: Path, *, control_plane: str, kubernetes_service: str, nodes: dict[str, str]) -> Pki:
    """Make all of a cluster's keys in the new `folder`; `nodes` maps a node's name to its address.

    etcd has an authority of its own, so that a client of the API server is none of etcd.
    """
    folder.mkdir(mode=0o700)
    ca, etcd_ca = Authority(folder, "ca"), Authority(folder, "etcd-ca")
    service_names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    return Pki(
        ca=ca.cert,
        etcd_ca=etcd_ca.cert,
        etcd=etcd_ca.issue("etcd", user="etcd", hosts=(control_plane,)),
        etcd_client=etcd_ca.issue("etcd-client", user="kube-apiserver"),
        apiserver=ca.issue(
            "apiserver", user="kube-apiserver", hosts=(control_plane, kubernetes_service, *service_names)
        ),
        kubelet_client=ca.issue("kubelet-client", user="kube-apiserver-kubelet-client", groups=("system:masters",)),
        kubelet_serving=ca.issue("kubelet", user="kubelet", hosts=(*nodes, *nodes.values())),
        admin=ca.issue("admin", user="signoff", groups=("system:masters",)),
        controller_manager=ca.issue("controller-manager", user="system:kube-controller-manager"),
        scheduler=ca.issue("scheduler", user="system:kube-scheduler"),
        service_accounts=_service_account_keys(folder),
    )


def _service_account_keys(folder: Path) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    pair = Pair(folder / "service-accounts.pub", folder / "service-accounts.key")
    write_private(pair.key, _pem(key))
    write_private(
        pair.cert,
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )
    return pair


def write_kubeconfig(path: Path, *, server: str, ca: Path, client: Pair) -> None:
    """Write a kubeconfig (JSON, which is YAML) that names the files of certificate and key.

    What a kubeconfig holds itself, Kubernetes' Python client writes into the temporary folder, where a run that is
    killed leaves it: a private key that nobody sweeps.
    """
    name = "signoff-embedded"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": name, "user": {"client-certificate": str(client.cert), "client-key": str(client.key)}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    write_private(path, json.dumps(config, indent=2).encode())
