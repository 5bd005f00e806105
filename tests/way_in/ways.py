"""Ways in that are bad, and some that are not: what each applies, and the one sentence that is then to be told."""

from dataclasses import dataclass

from signoff.way_in.controllers import DIRECTORY

DOMAIN = "lab.example"
ROUTE = """
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: NAME}
spec:
  entryPoints: [websecure]
  routes:
    - kind: Rule
      match: Host(`NAME.lab.example`)
      services:
        - {name: litellm, port: 4000}
  tls: {secretName: good-tls}
"""
OWN = ROUTE.replace("good-tls", "NAME-tls")
BESIDE = ROUTE.replace("name: NAME}", "name: NAME-beside}")
"""A second route for the host."""
THROUGH = ROUTE.replace("      services:", "      middlewares: [{name: nothing}]\n      services:")
CERTIFICATE = """---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: NAME-tls}
spec:
  secretName: NAME-tls
  dnsNames: [NAME.lab.example]
  issuerRef: {kind: ClusterIssuer, name: letsencrypt-prod}
"""
BY_ITS_OWN = CERTIFICATE.replace("letsencrypt-prod", "NAME")
ISSUER = """---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: NAME}
spec: """
ACME = """
  acme:
    server: SERVER
    skipTLSVerify: true
    privateKeySecretRef: {name: NAME-account}
    solvers: [{http01: {ingress: {ingressClassName: traefik}}}]
"""
MIDDLEWARE = """---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: NAME}
spec: {redirectScheme: {scheme: https, permanent: true}}
"""
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: NAME}
spec:
  tls: [{hosts: [NAME.lab.example], secretName: good-tls}]
  rules:
    - host: NAME.lab.example
      http:
        paths:
          - {path: /, pathType: Prefix, backend: {service: {name: nobody, port: {number: 4000}}}}
"""
OF_V2 = {"traefik.io/v1alpha1": "traefik.containo.us/v1alpha1"}
NOT_THERE = "which is not there"


@dataclass(frozen=True)
class Way:
    """A way in for the host `<name>.lab.example`: its objects, in a file of its own.

    `told` is all that is to be said of it, but for the file, with the line of the text `at`. `leads`: LiteLLM is
    reached all the same.
    """

    name: str
    objects: str
    told: str = ""
    at: str = ""
    leads: bool = False

    @property
    def host(self) -> str:
        """Its host name."""
        return f"{self.name}.{DOMAIN}"

    @property
    def text(self) -> str:
        """What its file holds."""
        return self.objects.replace("NAME", self.name)

    @property
    def sentence(self) -> str:
        """What is to be told."""
        told, lines = self.told.replace("NAME", self.name), self.text.splitlines()
        at = next((number for number, line in enumerate(lines, 1) if self.at in line), 0)
        return told and f"{told} (ways/{self.name}.yaml:{at})"


def changed(text: str, *changes: tuple[str, str]) -> str:
    """The text with one thing in the place of another; each has to be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


WAYS = (
    Way("by-acme", OWN + CERTIFICATE, leads=True),
    Way(
        "redirected",
        ROUTE
        + "---"
        + changed(
            BESIDE,
            ("[websecure]", "[web]"),
            ("      services:", "      middlewares: [{name: NAME}]\n      services:"),
            ("  tls: {secretName: good-tls}\n", ""),
        )
        + MIDDLEWARE,
        leads=True,
    ),
    Way(
        "with-a-page",
        ROUTE + "---" + changed(BESIDE, ("example`)", "example`) && PathPrefix(`/page`)"), ("litellm,", "other,")),
        leads=True,
    ),
    # The certificate
    Way(
        "self-signed",
        OWN + BY_ITS_OWN + ISSUER + "{selfSigned: {}}\n",
        "the certificate in the Secret NAME-tls of ml is self-signed: Certificate/NAME-tls has it from "
        "ClusterIssuer/NAME of the kind selfSigned",
        "issuerRef",
        leads=True,
    ),
    Way(
        "signed-by-itself",
        OWN,
        "the certificate in the Secret NAME-tls of ml is self-signed, and no Certificate has another written",
        "secretName",
    ),
    Way(
        "expired",
        OWN,
        "the certificate in the Secret NAME-tls of ml has expired at 2025-04-01 00:00 UTC, and no Certificate has "
        "another written",
        "secretName",
    ),
    Way(
        "for-another",
        OWN,
        "the certificate in the Secret NAME-tls of ml is for other.lab.example, not for NAME.lab.example, and no "
        "Certificate has another written",
        "secretName",
    ),
    Way(
        "of-other-keys",
        OWN,
        "the Secret NAME-tls of ml holds no certificate: it has no tls.crt and tls.key",
        "secretName",
    ),
    Way(
        "without-secret",
        OWN,
        f"IngressRoute/NAME has its certificate in the Secret NAME-tls of ml, {NOT_THERE}, and no Certificate has it "
        "written",
        "secretName",
    ),
    Way(
        "secret-elsewhere",
        OWN,
        f"IngressRoute/NAME has its certificate in the Secret NAME-tls of ml, {NOT_THERE}, and no Certificate has it "
        "written; there is one in default",
        "secretName",
    ),
    Way(
        "names-no-secret",
        changed(ROUTE, ("{secretName: good-tls}", "{}")),
        "IngressRoute/NAME names no Secret with a certificate",
        "tls:",
    ),
    Way(
        "by-traefiks-resolver",
        changed(ROUTE, ("secretName: good-tls", "certResolver: letsencrypt")),
        "IngressRoute/NAME names no Secret with a certificate: its certResolver letsencrypt is none of this Traefik's",
        "tls:",
    ),
    Way(
        "without-issuer",
        OWN + changed(BY_ITS_OWN, ("kind: ClusterIssuer, ", "")) + ISSUER + "{selfSigned: {}}\n",
        "Certificate/NAME-tls is not Ready: Issuer/NAME, which is to issue it, is not there, and ClusterIssuer/NAME "
        "is: name its kind in issuerRef",
        "issuerRef",
    ),
    Way(
        "unreachable-issuer",
        OWN + BY_ITS_OWN + ISSUER + changed(ACME, ("SERVER", "https://127.0.0.1:9/dir")),
        "Certificate/NAME-tls is not Ready: ClusterIssuer/NAME, which is to issue it, is not Ready: Failed to register "
        'ACME account: Get "https://127.0.0.1:9/dir": dial tcp 127.0.0.1:9: connect: connection refused',
        "spec: ",
    ),
    Way(
        "refused-name",
        OWN + changed(CERTIFICATE, ("[NAME.lab.example]", "[NAME.lab.example, under_score.lab.example]")),
        "Certificate/NAME-tls is not Ready: Failed to create Order: 400 urn:ietf:params:acme:error:malformed: Order "
        "included DNS identifier with a value containing an illegal character: '_'",
        "dnsNames",
    ),
    Way(
        "solver-of-another",
        OWN + BY_ITS_OWN + ISSUER + changed(ACME, ("SERVER", DIRECTORY), ("Name: traefik", "Name: nginx")),
        "Certificate/NAME-tls is not Ready: ClusterIssuer/NAME has the challenge for NAME.lab.example answered at the "
        "ingress class nginx, which Traefik does not serve",
        "solvers",
    ),
    # The route
    Way(
        "middleware-elsewhere",
        changed(THROUGH, ("{name: nothing}", "{name: NAME, namespace: default}"))
        + changed(MIDDLEWARE, ("{name: NAME}", "{name: NAME, namespace: default}")),
        "Traefik says of IngressRoute/NAME: middleware default/NAME is not in the IngressRoute namespace ml",
        "litellm,",
    ),
    Way(
        "without-service",
        changed(ROUTE, ("litellm,", "nobody,")),
        f"IngressRoute/NAME leads to the Service nobody of ml, {NOT_THERE}",
        "nobody",
    ),
    Way("ingress", INGRESS, f"Ingress/NAME leads to the Service nobody of ml, {NOT_THERE}", "nobody"),
    Way(
        "without-port",
        changed(ROUTE, ("4000", "4001")),
        "IngressRoute/NAME leads to port 4001 of the Service litellm of ml, which has 4000 (http)",
        "4001",
    ),
    Way(
        "without-pods",
        changed(ROUTE, ("litellm,", "empty,")),
        "the Service empty of ml, to which IngressRoute/NAME leads, selects no pod: none has the labels app=nobody",
        "empty",
    ),
    Way(
        "external",
        changed(ROUTE, ("litellm,", "external,")),
        "Traefik says of IngressRoute/NAME: externalName services not allowed: ml/external",
        "external,",
    ),
    Way(
        "without-middleware",
        THROUGH,
        f"IngressRoute/NAME goes through the Middleware nothing of ml, {NOT_THERE}",
        "middlewares",
    ),
    Way(
        "tls-option-elsewhere",
        changed(ROUTE, ("good-tls", "good-tls, options: {name: strict}")),
        f"IngressRoute/NAME speaks TLS by the TLSOption strict of ml, {NOT_THERE}; there is one in default",
        "strict",
    ),
    Way(
        "without-entry-point",
        changed(ROUTE, ("[websecure]", "[https]")),
        "IngressRoute/NAME is at the entry point https, and Traefik's are traefik, web and websecure",
        "entryPoints",
    ),
    Way(
        "by-plain-http",
        changed(ROUTE, ("[websecure]", "[web]")),
        "IngressRoute/NAME is at the entry point web alone, and https is spoken at websecure",
        "entryPoints",
    ),
    Way(
        "two-routes",
        ROUTE + "---" + changed(BESIDE, ("litellm,", "other,")),
        "IngressRoute/NAME-beside of ml leads NAME.lab.example to the Service other of ml, and IngressRoute/NAME to "
        "litellm of ml",
        "other",
    ),
    Way(
        "no-rule",
        changed(ROUTE, ("example`)", "example`) && PathPrefix(`/v1`")),
        "Traefik says of IngressRoute/NAME: the rule Host(`NAME.lab.example`) && PathPrefix(`/v1` cannot be parsed: "
        "1:48: missing ',' before newline in argument list",
        "match:",
    ),
    Way(
        "no-matcher",
        changed(ROUTE, ("example`)", "example`) && Path_Prefix(`/v1`)")),
        "Traefik says of IngressRoute/NAME: the rule Host(`NAME.lab.example`) && Path_Prefix(`/v1`) cannot be parsed: "
        "unsupported function: Path_Prefix",
        "match:",
    ),
    # What Traefik v3 does not read
    Way(
        "of-v2",
        changed(ROUTE, *OF_V2.items()),
        "IngressRoute/NAME is not read: traefik.containo.us is Traefik v2's group; v3 reads traefik.io/v1alpha1 only",
        "apiVersion",
    ),
    Way(
        "middleware-of-v2",
        changed(MIDDLEWARE, *OF_V2.items()) + "---" + changed(THROUGH, ("nothing", "NAME")),
        "Middleware/NAME is not read: traefik.containo.us is Traefik v2's group; v3 reads traefik.io/v1alpha1 only",
        "apiVersion",
    ),
)
