"""A container has namespaces of its own, where this machine lets its users make such: what it sees, and what not."""

import asyncio
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from signoff.cluster.embedded import EmbeddedCluster, namespaces, provider
from signoff.cluster.embedded.agent.process import Launch, Process
from signoff.cluster.embedded.cluster_registry import UNCONFINED, Running, fingerprint
from signoff.cluster.embedded.namespaces import View, interpreter
from signoff.cluster.embedded.usage import how_to_use
from signoff.core.paths import ROOT, cache_dir
from signoff.core.waiting import until
from signoff.kube.client import Kube
from tests.cluster.embedded.asking import ASK, BY_KUBECONFIG, SEEN, may_list_pods
from tests.embedded import container, ended, pod, processes_of, status, wait_for, waiting

needs_namespaces = pytest.mark.skipif(
    bool(namespaces.why_not()), reason=f"containers cannot be kept apart on this machine: {namespaces.why_not()}"
)

LOOK = """
import json, os
def can(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        return error.strerror
    return "can"
write = lambda path: open(path, "w").close()
read = lambda path: open(path, "rb").read(1)
"""
PLAIN = {"restartPolicy": "Never"}


def run(kube: Kube, namespace: str, code: str, **more: Any) -> Any:
    """What a small pod that runs this code to its end writes, as JSON."""
    spec = {key: more.pop(key, []) for key in ("volumes", "initContainers")}
    kube.core.create_namespaced_pod(namespace, pod(container(LOOK + code, **more), **spec, **PLAIN))
    done = ended(kube, namespace)
    log = str(kube.core.read_namespaced_pod_log("pod", namespace))
    assert done == "Succeeded", log
    return json.loads(log.replace("'", '"'))


def asked(what: str, places: Sequence[str]) -> str:
    """Code that writes whether `what` can be done with each place, none of which is translated."""
    written = [each.encode().hex() for each in places]
    return f"print(json.dumps([can({what}, bytes.fromhex(each).decode()) for each in {written}]))"


def private(cluster: EmbeddedCluster) -> list[str]:
    """What no pod may read: a cluster's keys, and what lies in the home and in the checkout."""
    return [
        str(cluster.kubeconfig),
        str(next(cluster.dir.glob("pki/*.key"))),
        str(cluster.dir / "agent.json"),
        str(ROOT / "pyproject.toml"),
        str(next(each for each in Path.home().iterdir() if each.is_file())),
    ]


@needs_namespaces
def test_a_pod_sees_no_home_no_checkout_and_no_key(cluster: EmbeddedCluster, kube: Kube, namespace: str) -> None:
    hidden = private(cluster)
    assert all(map(os.path.exists, hidden))
    assert set(run(kube, namespace, asked("read", hidden))) == {os.strerror(2)}


@needs_namespaces
def test_a_pod_writes_nothing_of_the_machine(kube: Kube, namespace: str) -> None:
    folders = [Path.home(), ROOT, cache_dir(), Path("/"), Path("/usr"), Path("/etc"), Path("/proc/sys/kernel")]
    places = [str(each / "written-by-a-pod") for each in folders]
    said = run(kube, namespace, asked("write", places))
    beyond_its_tmp = [each for each, place in zip(said, places, strict=True) if not place.startswith("/tmp/")]
    assert "can" not in beyond_its_tmp
    assert not any(map(os.path.exists, places))


@needs_namespaces
def test_a_pod_writes_what_is_its_own(kube: Kube, namespace: str) -> None:
    places = ["os.environ['HOME'] + '/x'", "'/tmp/x'", "'/t' + 'mp/y'", "'/dev/shm/x'", "'x'", "'/data/x'"]
    mounted = {"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    said = run(kube, namespace, f"print(json.dumps([can(write, each) for each in [{', '.join(places)}]]))", **mounted)
    assert said == ["can"] * len(places)


POISON = """
kept = os.environ["KEPT"] + "/"
open(kept + "answer", "w").write("poison")
write(kept + "more")
"""
LEFT = "kept = os.environ['KEPT'] + '/'; print(json.dumps([os.listdir(kept), open(kept + 'answer').read()]))"


def test_what_a_container_writes_where_its_image_found_out_no_other_reads(kube: Kube, namespace: str) -> None:
    before = container(LOOK + POISON, name="before")
    assert run(kube, namespace, LEFT, initContainers=[before]) == [["answer"], "42"]


@needs_namespaces
def test_what_an_image_found_out_no_container_writes(kube: Kube, namespace: str) -> None:
    code = """
import glob, sys
found = glob.glob(sys.prefix + "/found-*/kept/answer")
print(json.dumps([len(found), *(can(write, each) for each in found)]))
"""
    assert run(kube, namespace, code) == [1, os.strerror(30)]


@needs_namespaces
def test_the_temporary_folder_has_one_place_under_both_names(kube: Kube, namespace: str) -> None:
    said = run(kube, namespace, "write('/t' + 'mp/x'); print(json.dumps(os.listdir('/tmp')))")
    assert "x" in said


@needs_namespaces
def test_what_is_mounted_to_be_read_cannot_be_written(kube: Kube, namespace: str) -> None:
    kube.core.create_namespaced_config_map(namespace, {"metadata": {"name": "m"}, "data": {"key": "value"}})
    said = run(
        kube,
        namespace,
        "print(json.dumps([can(write, each) for each in ['/kept/x', '/told/key', '/told/y']]))",
        volumes=[{"name": "kept", "emptyDir": {}}, {"name": "told", "configMap": {"name": "m"}}],
        volumeMounts=[
            {"name": "kept", "mountPath": "/kept", "readOnly": True},
            {"name": "told", "mountPath": "/told"},
        ],
    )
    assert said == [os.strerror(30)] * 3


@needs_namespaces
def test_an_exec_probe_and_a_hook_see_no_more_than_their_container(
    cluster: EmbeddedCluster, kube: Kube, namespace: str
) -> None:
    look = ["python3", "-c", f"import os; raise SystemExit(os.path.exists({str(cluster.kubeconfig)!r}))"]
    probe = {"exec": {"command": look}, "periodSeconds": 1, "timeoutSeconds": 10}
    hooked = {"postStart": {"exec": {"command": look}}}
    waits = container("import time; time.sleep(600)", readinessProbe=probe, lifecycle=hooked)
    kube.core.create_namespaced_pod(namespace, pod(waits))

    def ready() -> bool:
        return any(each.ready for each in status(kube, namespace).container_statuses or [])

    wait_for("the pod to be ready", ready)


@needs_namespaces
def test_the_agent_follows_no_link_that_a_container_makes(cluster: EmbeddedCluster, kube: Kube, namespace: str) -> None:
    """Its last words would be whatever file it names, and a start would empty that file."""
    code = f"""
log = os.environ["HOME"].replace("/home", "/termination-log")
print(json.dumps([can(os.remove, log), can(os.rename, os.environ["HOME"], "x")]))
os.symlink({str(cluster.kubeconfig)!r}, "/kept/link")
"""
    volumes = [{"name": "kept", "emptyDir": {}}]
    mounts = [{"name": "kept", "mountPath": "/kept"}]
    first = {**container(LOOK + code, volumeMounts=mounts), "name": "first"}
    linked = [{"name": "kept", "mountPath": "/kept", "subPath": "link/below"}]
    spec = {"initContainers": [first], "volumes": volumes, **PLAIN}
    kube.core.create_namespaced_pod(namespace, pod(container("pass", volumeMounts=linked), **spec))

    def message() -> str:
        waiting = [each.state.waiting for each in status(kube, namespace).container_statuses or []]
        return str(waiting[0].message) if waiting and waiting[0] else ""

    wait_for("the subPath to be refused", lambda: "leads out of the volume" in message())
    said = json.loads(kube.core.read_namespaced_pod_log("pod", namespace, container="first"))
    assert "can" not in said


@needs_namespaces
def test_no_container_has_a_name_by_which_its_folder_is_one_of_the_pods(
    kube: Kube, namespace: str, tmp_path: Path
) -> None:
    """Else the files of its ConfigMap would lie in an emptyDir that it writes, behind a link that it makes there."""
    kube.core.create_namespaced_config_map(namespace, {"metadata": {"name": "m"}, "data": {"key": "value"}})
    volumes = [{"name": "vol", "emptyDir": {}}, {"name": "told", "configMap": {"name": "m"}}]
    mounts = [{"name": "vol", "mountPath": "/kept"}, {"name": "told", "mountPath": "/told"}]
    plants = f"import os; [os.symlink({str(tmp_path)!r}, '/kept/' + each) for each in ('told', 'vol', 'home')]"
    names = ("logs", "vol", "c")
    first = {**container(plants, volumeMounts=mounts[:1]), "name": "first"}
    others = [{**container("print(open('/told/key').read())", volumeMounts=mounts), "name": each} for each in names]
    spec = {"initContainers": [first], "volumes": volumes, **PLAIN}
    kube.core.create_namespaced_pod(namespace, pod(*others, **spec))
    assert ended(kube, namespace) == "Succeeded"
    logs = [kube.core.read_namespaced_pod_log("pod", namespace, container=each) for each in names]
    assert [each.strip() for each in logs] == ["value"] * len(names)
    assert list(tmp_path.iterdir()) == []


@needs_namespaces
def test_a_sub_path_may_be_a_file_that_an_init_container_wrote(kube: Kube, namespace: str) -> None:
    volumes, mounts = [{"name": "v", "emptyDir": {}}], [{"name": "v", "mountPath": "/v"}]
    first = {**container("open('/v/file', 'w').write('said')", volumeMounts=mounts), "name": "first"}
    main = container(
        "print(open('/said').read())", volumeMounts=[{**mounts[0], "mountPath": "/said", "subPath": "file"}]
    )
    kube.core.create_namespaced_pod(namespace, pod(main, initContainers=[first], volumes=volumes, **PLAIN))
    assert ended(kube, namespace) == "Succeeded"
    assert kube.core.read_namespaced_pod_log("pod", namespace).strip() == "said"


@needs_namespaces
def test_a_sub_path_below_a_file_is_said_to_be_impossible(kube: Kube, namespace: str) -> None:
    volumes, mounts = [{"name": "v", "emptyDir": {}}], [{"name": "v", "mountPath": "/v"}]
    first = {**container("open('/v/file', 'w').close()", volumeMounts=mounts), "name": "first"}
    main = container("pass", volumeMounts=[{**mounts[0], "subPath": "file/below"}])
    kube.core.create_namespaced_pod(namespace, pod(main, initContainers=[first], volumes=volumes, **PLAIN))
    said = waiting(kube, namespace, "CreateContainerConfigError").message
    assert said == 'the subPath "file/below" cannot be made in the volume "v": Not a directory'


@needs_namespaces
def test_a_pod_has_no_privilege_and_gets_none(kube: Kube, namespace: str) -> None:
    wanted = "('CapEf', 'CapBn', 'NoNew')"
    code = f"print(json.dumps([line.split() for line in open('/proc/self/status') if line[:5] in {wanted}]))"
    none = "0" * 16
    assert run(kube, namespace, code) == [["CapEff:", none], ["CapBnd:", none], ["NoNewPrivs:", "1"]]


@needs_namespaces
def test_a_pod_cannot_look_into_the_processes_of_the_machine(kube: Kube, namespace: str) -> None:
    """The environment, memory and files of the test that asks: they have the same user."""
    places = [f"/proc/{os.getpid()}/{name}" for name in ("environ", "maps", "root/etc/passwd", "fd/0")]
    assert "can" not in run(kube, namespace, asked("read", places))


@pytest.fixture(scope="module")
def unconfined(recipes: None) -> Iterator[EmbeddedCluster]:
    """A cluster on a machine that lets nobody make namespaces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(namespaces, "why_not", lambda: "unshare: Operation not permitted")
        started = EmbeddedCluster.start()
    yield started
    started.close()


@pytest.mark.cluster
def test_without_namespaces_a_pod_sees_what_its_user_sees(unconfined: EmbeddedCluster) -> None:
    kube = Kube(unconfined.kubeconfig)
    kube.core.create_namespace({"metadata": {"name": "plain"}})
    kube.wait_for_namespace("plain")
    assert set(run(kube, "plain", asked("read", private(unconfined)))) == {"can"}
    assert "Operation not permitted" in unconfined.facts().details["kept_apart"]


@pytest.mark.cluster
def test_without_namespaces_a_kubeconfig_leads_to_the_api(unconfined: EmbeddedCluster) -> None:
    kube = Kube(unconfined.kubeconfig)
    kube.core.create_namespace({"metadata": {"name": "way"}})
    kube.wait_for_namespace("way")
    may_list_pods(kube, "way")
    kube.core.create_namespaced_pod("way", pod(container(ASK + BY_KUBECONFIG + SEEN), **PLAIN))
    done, log = ended(kube, "way"), str(kube.core.read_namespaced_pod_log("pod", "way"))
    assert (done, log.splitlines()) == ("Succeeded", ["['pod']", "403", "403"])


def test_a_cluster_says_how_its_containers_are_kept_apart(cluster: EmbeddedCluster) -> None:
    assert cluster.facts().details["kept_apart"] == (
        "nothing: " + namespaces.why_not() if namespaces.why_not() else "namespaces"
    )


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        ("", "", ""),
        ("no", "no", ""),
        ("no", "", "its containers are kept apart by nothing, and would be now"),
        ("", "no", "its containers are kept apart by namespaces, and could not be now"),
    ],
)
def test_a_kept_cluster_whose_containers_are_kept_apart_otherwise_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, now: str, why: str
) -> None:
    monkeypatch.setattr(namespaces, "why_not", lambda: now)
    kept = Running(tmp_path, {"fingerprint": fingerprint(), UNCONFINED: then})
    assert kept.difference == why


def test_a_person_who_uses_a_cluster_is_told_that_nothing_keeps_its_containers_apart(
    cluster: EmbeddedCluster,
) -> None:
    said = how_to_use(cluster.dir.name, cluster.kubeconfig, "no namespaces")
    assert "nothing keeps its containers from your files (no namespaces): apply only manifests that you trust" in said
    assert "nothing keeps" not in how_to_use(cluster.dir.name, cluster.kubeconfig, "")


def test_who_attaches_to_a_cluster_is_asked_for_what_that_cluster_is(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "why_not", lambda: "of a cluster that would be started now")
    assert provider.unconfined(cluster.dir) == cluster.facts().details["kept_apart"].partition("nothing: ")[2]


# What makes them


WITHOUT = """
import ctypes, os, runpy, sys
user, group = os.geteuid(), os.getegid()
assert ctypes.CDLL(None).unshare(0x10000000) == 0
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"{user} {user} 1")
open("/proc/self/gid_map", "w").write(f"{group} {group} 1")
open("/proc/sys/user/max_user_namespaces", "w").write("0")
from signoff.cluster.embedded import namespaces
print(namespaces.why_not())
"""


@needs_namespaces
def test_a_machine_that_lets_nobody_make_namespaces_is_found_out() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "namespaces cannot be made: unshare: No space left on device"


OLD_KERNEL = """
import errno
from signoff.cluster.embedded import confined
def no_such_call(*_, **__):
    raise OSError(errno.ENOSYS, "no such call")
confined._set_attributes = no_such_call
confined.main()
"""


@needs_namespaces
def test_an_older_kernel_is_told_of_each_mount_on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{OLD_KERNEL}")
    monkeypatch.setattr(namespaces, "_PROGRAM", program)
    namespaces.why_not.cache_clear()
    try:
        assert namespaces.why_not() == ""
    finally:
        namespaces.why_not.cache_clear()


@needs_namespaces
def test_what_is_read_only_and_can_be_written_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program.py"
    idle = "from signoff.cluster.embedded import confined\nconfined._set_read_only = lambda _: None\nconfined.main()"
    program.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{idle}")
    monkeypatch.setattr(namespaces, "_PROGRAM", program)
    namespaces.why_not.cache_clear()
    try:
        assert namespaces.why_not() == "what is read-only can be written"
    finally:
        namespaces.why_not.cache_clear()


@needs_namespaces
def test_a_link_that_takes_a_folders_place_within_a_volume_is_not_followed(tmp_path: Path) -> None:
    """A container may change its volume after it has been looked at, up to the moment of the mount."""
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    (volume / "folder").mkdir(parents=True)
    outside.mkdir()
    view = View([], [volume / "folder"], volumes=[volume])
    assert namespaces.start(["true"], {"PATH": "/usr/bin"}, Path("/"), view, marks={}).wait(20) == 0
    (volume / "folder").rmdir()
    (volume / "folder").symlink_to(outside)
    with pytest.raises(OSError, match=r"namespaces cannot be made: .*folder: Too many levels of symbolic links"):
        namespaces.start(["true"], {"PATH": "/usr/bin"}, Path("/"), view, marks={})


@needs_namespaces
@pytest.mark.parametrize(
    "code",
    [
        "import ctypes; raise SystemExit(ctypes.CDLL(None).unshare(0x10000000) == 0)",
        "import ctypes; raise SystemExit(ctypes.CDLL(None).shmat(int(sys.argv[1]), None, 0) != -1)",
        "import os; raise SystemExit(os.path.exists('/var/lib') or bool(os.listdir('/opt')))",
    ],
    ids=["a namespace of its own", "memory of another program", "sockets of services"],
)
def test_what_a_container_cannot_reach(code: str, tmp_path: Path) -> None:
    shared = ctypes.CDLL(None).shmget(0, 4096, 0o1600)
    try:
        argv = [os.path.realpath(sys.executable), "-I", "-S", "-c", f"import sys; {code}", str(shared)]
        view = View(interpreter(Path(sys.executable)), [tmp_path])
        assert namespaces.start(argv, {}, tmp_path, view, marks={}).wait(20) == 0
    finally:
        ctypes.CDLL(None).shmctl(shared, 0, None)


@needs_namespaces
def test_what_the_pod_says_of_its_environment_counts_only_within(tmp_path: Path) -> None:
    """A library that LD_PRELOAD names would else run before the namespaces are there."""
    python = Path(sys.executable)
    view = View([tmp_path, *interpreter(python)])
    argv = [os.path.realpath(python), "-c", "import os; print(os.environ['LD_PRELOAD'])"]
    env = {"LD_PRELOAD": str(tmp_path / "evil.so"), "PYTHONPATH": str(tmp_path)}
    (tmp_path / "ctypes.py").write_text("raise SystemExit('the pod has its own ctypes')")
    (tmp_path / "evil.so").write_text("no library, which the loader says")
    started = namespaces.start(argv, env, tmp_path, view, marks={}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said, complaint = started.communicate()
    assert said.decode().strip() == str(tmp_path / "evil.so")
    assert complaint.count(b"evil.so") == 1


@needs_namespaces
def test_a_program_that_is_not_there_is_told_as_without_namespaces(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        namespaces.start(["nothing-here"], {"PATH": "/usr/bin"}, tmp_path, View([tmp_path]), marks={})
    assert missing.value.strerror == os.strerror(2)


SLOW = "import time; time.sleep(60)"
"""What makes no namespaces yet: the machine is busy."""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """How a program is started whose namespaces are not made for a minute."""
    program = tmp_path / "slow.py"
    program.write_text(SLOW)
    monkeypatch.setattr(namespaces, "_PROGRAM", program)
    return Launch(["true"], {}, tmp_path, view=View())


@pytest.mark.parametrize("times", [1, 2])
def test_while_namespaces_are_made_the_agent_goes_on_and_can_give_up(slow: Launch, tmp_path: Path, times: int) -> None:
    async def is_there() -> bool:
        return bool(processes_of(tmp_path))

    async def is_gone() -> bool:
        return not processes_of(tmp_path)

    async def given_up() -> None:
        starting = asyncio.create_task(Process.start(slow, tmp_path / "log", tmp_path))
        await until(is_there, every=0.01)
        for _ in range(times):
            starting.cancel()
            await asyncio.sleep(0.002)
        with pytest.raises(asyncio.CancelledError):
            await starting
        await until(is_gone, every=0.01)

    asyncio.run(asyncio.wait_for(given_up(), 20))
