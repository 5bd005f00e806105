"""Which cluster a context leads to, and whether it is the one that is meant.

k3s calls every context `default` and every server 127.0.0.1:6443, so that a name alone tells nothing: the UID of the
namespace kube-system does, which a cluster gets once
(https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/2149-clusterid).
"""

import atexit
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path

import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError, MaxRetryError

from signoff.changes.rights import Right
from signoff.cluster.access import Access
from signoff.cluster.existing import known
from signoff.core import timeouts
from signoff.core.errors import UsageError
from signoff.core.paths import private_folder
from signoff.kube import rights
from signoff.kube.client import Kube, reason_of
from signoff.kube.kubeconfig import only

_SYSTEM = "kube-system"


@dataclass(frozen=True)
class Reached:
    """A cluster that answers: the kubeconfig of its context alone, its server, and the UID that tells it apart."""

    context: str
    kubeconfig: Path
    server: str
    uid: str


def reach(access: Access) -> Reached:
    """The cluster of the context that is named and allowed.

    Raises:
        UsageError: none is named, another one is allowed, there is no such context, the cluster does not answer or lets
            nobody in, or it is another one than before.
    """
    _check_named(access)
    reached = _reached(access.context, access.namespace, access.allow)
    if access.uid:
        _check_the_same(reached, access.uid, "cluster_uid", "take cluster_uid out of your settings")
    elif before := known.uid_of(reached.context, reached.server):
        file = known.file_of(reached.context, reached.server)
        hint = f"set cluster_uid to the one that is meant, or remove {file}"
        _check_the_same(reached, before, "that of an earlier run from this machine", hint)
    return reached


def _check_the_same(reached: Reached, uid: str, told_by: str, remedy: str) -> None:
    if uid != reached.uid:
        raise UsageError(
            f"the context {reached.context} leads to another cluster than before: its UID is {reached.uid}, and "
            f"{told_by} is {uid}",
            where=reached.server,
            hint="see which cluster is meant (`kubectl config get-contexts`); if it was made anew, "
            f"{remedy}, and the next run writes the new one",
        )


def _check_named(access: Access) -> None:
    if not access.context:
        raise UsageError(
            "which cluster is meant? The current context of a kubeconfig is never taken",
            hint="name it with --kube-context NAME and --allow-context NAME; `kubectl config get-contexts` lists them",
        )
    if access.allowed_context != access.context:
        told = f"{access.allowed_context} is allowed" if access.allowed_context else "not allowed"
        raise UsageError(
            f"the context {access.context} is named, and {told}",
            where=f"--kube-context {access.context}",
            hint=f"say --allow-context {access.context} if that cluster may be looked at; no file can say so",
        )


@cache
def _reached(context: str, namespace: str, allow: frozenset[Right]) -> Reached:
    kubeconfig = only(context, _folder_of_this_process())
    server = str(yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["clusters"][0]["cluster"]["server"])
    try:
        kube = Kube(kubeconfig)
        system = kube.core.read_namespace(_SYSTEM, _request_timeout=timeouts.REQUEST.seconds)
    except ConfigException as error:
        raise UsageError(f"the context {context} cannot be used: {error}", where=server) from None
    except ApiException as error:
        if error.status == HTTPStatus.FORBIDDEN:
            rights.check(kube, [namespace], allow)  # which names all that this user lacks, this among it
        raise _refused(context, server, kubeconfig, error) from None
    except HTTPError as error:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        hint = f"see whether it is on, and whether this machine reaches it: `kubectl --context {context} version`"
        raise UsageError(
            f"the cluster of the context {context} does not answer: {reason}", where=server, hint=hint
        ) from None
    return Reached(context, kubeconfig, server, str(system.metadata.uid))


def _refused(context: str, server: str, kubeconfig: Path, error: ApiException) -> UsageError:
    if error.status == HTTPStatus.UNAUTHORIZED:
        what = f"the cluster of the context {context} does not know this user: {reason_of(error)}"
        return UsageError(what, where=server, hint=f"renew the credentials{_given_by(kubeconfig)}")
    what = f"the cluster of the context {context} does not tell which one it is: {reason_of(error)}"
    return UsageError(what, where=server, hint=f"see `kubectl --context {context} get namespace {_SYSTEM}`")


def _given_by(kubeconfig: Path) -> str:
    """What gives the credentials: a program, of whose failure Kubernetes' client only writes a log, or the file."""
    user = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["users"][0]["user"]
    program = user.get("exec", {}).get("command")
    return f", which `{program}` is to give: see whether it runs" if program else " in the kubeconfig"


def _folder_of_this_process() -> Path:
    """For credentials, as long as this process may need them."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(private_folder())
