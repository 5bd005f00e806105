"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler as child processes on loopback."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from signoff.cluster.embedded.address_range import AddressRange, free_ports
from signoff.cluster.embedded.kubeapi import KubeApi
from signoff.cluster.embedded.pki import Pki, make_pki, write_kubeconfig
from signoff.cluster.embedded.processes import spawn, start_time
from signoff.core.errors import NO_SPACE, SignoffError, reason_in
from signoff.core.timeouts import CONTROL_PLANE_READY, Timeout
from signoff.core.waiting import until

_GOGC = "50"
"""Go's collector lets the heap grow by half where its default is double: 50 to 140 MB less for the four."""
_PATIENCE_SECONDS = 2
"""kube-controller-manager and kube-scheduler give up after 10 s without an API server; what ends sooner is broken."""
_CLIENT_RATES = ("--kube-api-qps=500", "--kube-api-burst=1000")
"""Requests per second; the defaults of 20 and 30 hold a start back by 4 s."""


class Children:
    """The child processes of one cluster, each with a log of its own; the first that ends is an error.

    Until `all_started()`, a patient one that waited in vain for another is started again: a busy machine starts slowly.
    """

    def __init__(self, cluster: Path) -> None:
        self._cluster = cluster
        self.logs.mkdir(mode=0o700, exist_ok=True)
        self._watches: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Future[SignoffError] = asyncio.get_running_loop().create_future()
        self._starting = True
        self.pids: dict[str, int] = {}
        self.starts: dict[str, int | None] = {}

    async def start(
        self, name: str, argv: list[str | Path], env: Mapping[str, str] | None = None, *, patient: bool = False
    ) -> None:
        """Start the child `name`, logging to logs/<name>.log; a patient one may wait in vain for another.

        Raises:
            SignoffError: its program cannot be started.
        """
        began = time.monotonic()
        try:
            process = await spawn(argv, cluster=self._cluster, log=self.log(name), env=env)
        except OSError as error:
            raise SignoffError(f"{name} cannot be started: {error.strerror}", where=str(argv[0])) from error
        self.pids[name] = process.pid
        self.starts[name] = start_time(process.pid)

        async def watch() -> None:
            code = await process.wait()
            if patient and self._starting and time.monotonic() - began > _PATIENCE_SECONDS:
                await self.start(name, argv, env, patient=True)
            else:
                self._tell_end(name, code)

        watching = asyncio.create_task(watch())
        self._watches.add(watching)
        watching.add_done_callback(self._watches.discard)

    def all_started(self) -> None:
        """From now on nobody has a reason to wait in vain."""
        self._starting = False

    @property
    def logs(self) -> Path:
        """The folder of the children's logs."""
        return self._cluster / "logs"

    def log(self, name: str) -> Path:
        """Where the child `name` writes what it has to say."""
        return self.logs / f"{name}.log"

    async def first_end(self) -> SignoffError:
        """Wait until any child has ended, and return the error that tells of it."""
        return await asyncio.shield(self._ended)

    def _tell_end(self, name: str, code: int) -> None:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        log = self.log(name).read_text(errors="replace", encoding="utf-8")
        hint = "free some space, then start again" if NO_SPACE in log else ""
        why = reason_in(log) if code > 0 else ""
        if not self._ended.done():
            what = f"{name} {how}{f': {why}' if why else ''}"
            self._ended.set_result(SignoffError(what, where=str(self.log(name)), hint=hint))


class ControlPlane:
    """The four upstream processes of one cluster: `start()` them, then `ready()` waits until the API serves."""

    def __init__(
        self, cluster: Path, addresses: AddressRange, binaries: Mapping[str, Path], nodes: tuple[str, ...]
    ) -> None:
        self._cluster, self._addresses, self._binaries = cluster, addresses, binaries
        self.pki: Pki = make_pki(
            cluster / "pki",
            control_plane=addresses.control_plane,
            kubernetes_service=addresses.kubernetes_service,
            nodes={name: addresses.node(index) for index, name in enumerate(nodes)},
        )
        self._etcd_port, self._peers_port, port = free_ports(addresses.control_plane, 3)
        self.server = f"https://{addresses.control_plane}:{port}"
        self.kubeconfig = cluster / "kubeconfig"
        write_kubeconfig(self.kubeconfig, server=self.server, ca=self.pki.ca, client=self.pki.admin)

    @property
    def etcd_server(self) -> str:
        """Where etcd serves; only a holder of the cluster's etcd client certificate gets in."""
        return f"https://{self._addresses.control_plane}:{self._etcd_port}"

    def api(self) -> KubeApi:
        """A client with the administrator's certificate."""
        return KubeApi(self.server, str(self.pki.ca), str(self.pki.admin.cert), str(self.pki.admin.key))

    async def start(self, children: Children) -> None:
        """Start all four side by side; each keeps trying until the one it needs is there."""
        env = {"GOGC": _GOGC, **os.environ}
        await children.start("etcd", self._etcd(), env)
        await children.start("kube-apiserver", self._apiserver(), env)
        await children.start("kube-controller-manager", self._controller_manager(), env, patient=True)
        await children.start("kube-scheduler", self._scheduler(), env, patient=True)

    async def ready(self, children: Children, done: Callable[[str, float], None]) -> None:
        """Wait until etcd and the API server serve, and tell `done(phase, seconds)` of each.

        Raises:
            SignoffError: a child ended, or the API did not become ready in time.
        """
        await or_first_end(self._ready(done), children, "the control plane", CONTROL_PLANE_READY)

    async def _ready(self, done: Callable[[str, float], None]) -> None:
        start = time.monotonic()
        await until(self._etcd_accepts, every=CONTROL_PLANE_READY.every)
        done("etcd", time.monotonic() - start)
        start = time.monotonic()
        async with self.api() as api:
            await api.until_ready()
        done("kube-apiserver", time.monotonic() - start)

    async def _etcd_accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self._addresses.control_plane, self._etcd_port)
        except OSError:
            return False
        writer.close()
        return True

    def _etcd(self) -> list[str | Path]:
        pair, ca = self.pki.etcd, self.pki.etcd_ca
        peers = f"https://{self._addresses.control_plane}:{self._peers_port}"
        return [
            self._binaries["etcd"],
            f"--data-dir={self._cluster / 'etcd'}",
            f"--listen-client-urls={self.etcd_server}",
            f"--advertise-client-urls={self.etcd_server}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--client-cert-auth=true",
            f"--trusted-ca-file={ca}",
            f"--cert-file={pair.cert}",
            f"--key-file={pair.key}",
            "--peer-client-cert-auth=true",
            f"--peer-trusted-ca-file={ca}",
            f"--peer-cert-file={pair.cert}",
            f"--peer-key-file={pair.key}",
            "--unsafe-no-fsync=true",  # the data end with the cluster
            "--log-level=warn",
        ]

    def _apiserver(self) -> list[str | Path]:
        pki = self.pki
        return [
            self._binaries["kube-apiserver"],
            f"--etcd-servers={self.etcd_server}",
            f"--etcd-cafile={pki.etcd_ca}",
            f"--etcd-certfile={pki.etcd_client.cert}",
            f"--etcd-keyfile={pki.etcd_client.key}",
            f"--bind-address={self._addresses.control_plane}",
            f"--advertise-address={_not_loopback(self._addresses)}",
            f"--secure-port={self.server.rpartition(':')[2]}",
            f"--tls-cert-file={pki.apiserver.cert}",
            f"--tls-private-key-file={pki.apiserver.key}",
            f"--client-ca-file={pki.ca}",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki.service_accounts.cert}",
            f"--service-account-signing-key-file={pki.service_accounts.key}",
            f"--service-cluster-ip-range={self._addresses.service_range}.0.0/16",
            "--endpoint-reconciler-type=none",
            f"--kubelet-certificate-authority={pki.ca}",
            f"--kubelet-client-certificate={pki.kubelet_client.cert}",
            f"--kubelet-client-key={pki.kubelet_client.key}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _controller_manager(self) -> list[str | Path]:
        return [
            self._binaries["kube-controller-manager"],
            f"--kubeconfig={self._kubeconfig_of('controller-manager')}",
            f"--service-account-private-key-file={self.pki.service_accounts.key}",
            f"--root-ca-file={self.pki.ca}",
            f"--flex-volume-plugin-dir={self._cluster / 'flexvolume'}",  # its default is created in /usr
            "--use-service-account-credentials=true",
            *_CLIENT_RATES,
            "--leader-elect=false",
            "--secure-port=0",
        ]

    def _scheduler(self) -> list[str | Path]:
        return [
            self._binaries["kube-scheduler"],
            f"--kubeconfig={self._kubeconfig_of('scheduler')}",
            *_CLIENT_RATES,
            "--leader-elect=false",
            "--secure-port=0",
        ]

    def _kubeconfig_of(self, component: str) -> Path:
        path = self._cluster / "pki" / f"{component}.kubeconfig"
        client = self.pki.controller_manager if component == "controller-manager" else self.pki.scheduler
        write_kubeconfig(path, server=self.server, ca=self.pki.ca, client=client)
        return path


def _not_loopback(addresses: AddressRange) -> str:
    """The API server must advertise an address outside of loopback; without an endpoint reconciler nobody uses it."""
    return "10." + addresses.control_plane.split(".", 1)[1]


async def or_first_end(work: Coroutine[Any, Any, None], children: Children, what: str, within: Timeout) -> None:
    """Do `work`, which makes `what` ready, unless a child ends first or the time is over.

    Raises:
        SignoffError: a child ended, or `within` passed.
    """
    working, ended = asyncio.create_task(work), asyncio.create_task(children.first_end())
    try:
        done, _ = await asyncio.wait({working, ended}, timeout=within.seconds, return_when=asyncio.FIRST_COMPLETED)
        if ended in done:
            raise ended.result()
        if working not in done:
            raise SignoffError(f"{what} did not become ready within {within.seconds:.0f} s", where=str(children.logs))
        await working
    finally:
        working.cancel()
        ended.cancel()
