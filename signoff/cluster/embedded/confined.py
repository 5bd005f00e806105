"""Run a program in user and mount namespaces of its own: `python -I -S confined.py ORDER REPORT`, two descriptors.

A program of its own, since no Python may run between fork and exec in a process with threads, and one that needs the
standard library alone. It reads its order (JSON: argv, env, cwd, and the view of the file system) from one descriptor
and becomes the program; where it cannot, it writes [errno, text] to the other and ends. What a pod says of its
environment is not this process's own: LD_PRELOAD would else be heeded before the namespaces are there.

All is read-only but what is given as the container's own; what is hidden is covered by an empty tmpfs, in which what is
given all the same is mounted again. No privilege is left: neither to mount, nor by a program that is setuid.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
import sys
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself takes longer to import than all else here
    from signoff.cluster.embedded.namespaces import Told

assert warnings, "os.execvpe imports it, and then Python's own folder may be hidden already"
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWUSER = 0x00020000, 0x08000000, 0x10000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_NOATIME, _MS_NODIRATIME, _MS_BIND, _MS_REC, _MS_PRIVATE, _MS_RELATIME = 1024, 2048, 4096, 16384, 1 << 18, 1 << 21
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_SYS_MOUNT_SETATTR = 442
"""The same number on x86-64 and arm64; Linux 5.12 and newer."""
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1
_AT_EMPTY_PATH, _AT_RECURSIVE, _ATTR_RDONLY = 0x1000, 0x8000, 1
_FLAGS = {
    "ro": _MS_RDONLY,
    "nosuid": _MS_NOSUID,
    "nodev": _MS_NODEV,
    "noexec": _MS_NOEXEC,
    "noatime": _MS_NOATIME,
    "nodiratime": _MS_NODIRATIME,
    "relatime": _MS_RELATIME,
}
_ESCAPED = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}
"""What /proc/self/mountinfo writes otherwise (proc_pid_mountinfo(5))."""
_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
_LINKS_OF_DEV = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}


def main() -> None:
    """Do as ordered."""
    report = int(sys.argv[2])
    os.set_inheritable(report, False)
    with os.fdopen(int(sys.argv[1]), encoding="ascii") as said:
        order = json.load(said)
    try:
        _enter(order["view"])
    except OSError as error:
        _end(report, error, f"namespaces cannot be made: {error.filename}: {error.strerror}")
    try:
        os.chdir(order["cwd"])
        os.execvpe(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        _end(report, error, str(error.strerror))


def _end(report: int, error: OSError, text: str) -> None:
    os.write(report, json.dumps([error.errno, text]).encode())
    os._exit(127)


def _enter(view: Told) -> None:
    """Make the namespaces, and have the file system look like the view in them."""
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWIPC))
    numbers = (f"{view['user'] or user} {user} 1", f"{view['user'] or group} {group} 1")
    for file, text in zip(("setgroups", "uid_map", "gid_map"), ("deny", *numbers), strict=True):
        with open(f"/proc/self/{file}", "w", encoding="ascii") as map_of_ids:
            map_of_ids.write(text)
    _mount("", "/", flags=_MS_REC | _MS_PRIVATE)
    writable = [*view["own"], *view["at"], *view["empty"], *_proc()]
    _arrange(view)
    _forbid_namespaces()
    _set_read_only(writable)
    _leave_keyring()
    _drop_privileges()


def _arrange(view: Told) -> None:
    """Cover what is hidden, and mount what is given: from above to below, whatever covers it meanwhile."""
    given = {path: path for path in (*view["shown"], *view["own"], *_of_the_kernel())} | view["at"] | view["seen_at"]
    devices = {f"/dev/{name}": f"/dev/{name}" for name in _DEVICES if os.path.exists(f"/dev/{name}")}
    sources = {target: _opened(source) for target, source in (given | devices).items()}
    for target in sorted({*sources, *view["hidden"], *view["empty"], "/dev"}):
        if target in sources:
            _make_place(target, sources[target])
            _mount(f"/proc/self/fd/{sources[target]}", target, flags=_MS_BIND | _MS_REC)
        elif target in view["empty"]:
            os.makedirs(target, exist_ok=True)
            _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777,size=50%")
        elif os.path.isdir(target):
            _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=4m")
    for name, below in _LINKS_OF_DEV.items():
        os.symlink(f"/proc/self/fd{below}", f"/dev/{name}")
    for link, target in sorted(view["links"].items()):
        if not os.path.exists(link):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(target, link)
    for source in sources.values():
        os.close(source)


def _proc() -> list[str]:
    """Where a process describes itself: it may write there, a map of users say, unless nobody may."""
    return [] if os.statvfs("/proc").f_flag & os.ST_RDONLY else ["/proc"]


def _of_the_kernel() -> list[str]:
    """What else is in /proc: settings of the whole machine, which root's number alone would open."""
    with os.scandir("/proc") as found:
        return [each.path for each in found if not each.name.isdigit() and not each.is_symlink()]


def _make_place(target: str, source: int) -> None:
    """Have something there that can be mounted on, in a folder that is hidden by an empty one say."""
    if os.path.exists(target):
        return
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.makedirs(target)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))


def _set_read_only(but: list[str]) -> None:
    try:
        _set_attributes("/", _AT_RECURSIVE, to_set=_ATTR_RDONLY)
        for path in but:
            _set_attributes(path, to_clear=_ATTR_RDONLY)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        _remount_one_by_one(but)


def _set_attributes(path: str, how: int = 0, *, to_set: int = 0, to_clear: int = 0) -> None:
    attributes = (ctypes.c_uint64 * 4)(to_set, to_clear, 0, 0)
    mounted = _opened(path)
    done = _LIBC.syscall(
        _SYS_MOUNT_SETATTR, mounted, b"", how | _AT_EMPTY_PATH, ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    _call(path, done)
    os.close(mounted)


def _opened(path: str) -> int:
    """A place that was looked at before, unless a link has come into its way meanwhile.

    A container that runs already may make one in a volume that both have.
    """
    found = os.open(path, os.O_PATH)
    if os.readlink(f"/proc/self/fd/{found}") != path:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return found


def _forbid_namespaces() -> None:
    """In one of its own a program would have every capability again (user_namespaces(7)).

    Where nobody may write below /proc/sys, as in many containers, it would have them within that namespace alone.
    """
    try:
        with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as limit:
            limit.write("0")
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.ENOENT):
            raise


def _leave_keyring() -> None:
    """Have no key of whoever started this, as of an encrypted home; without keyrings, as in many containers, none."""
    number = _SYS_KEYCTL.get(os.uname().machine)
    if number:
        _LIBC.syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None)


def _remount_one_by_one(but: list[str]) -> None:
    """What Linux before 5.12 needs; a mount that another covers cannot be reached, by the program neither."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        mounts = [line.split() for line in table]
    for _, _, device, _, written_place, options, *_ in mounts:
        place = written_place
        for written, meant in _ESCAPED.items():
            place = place.replace(written, meant)
        try:
            seen = os.lstat(place).st_dev
        except OSError:
            continue
        if f"{os.major(seen)}:{os.minor(seen)}" != device:
            continue
        flags = sum(_FLAGS.get(option, 0) for option in options.split(","))
        read_only = 0 if place in but else _MS_RDONLY
        _mount("", place, flags=_MS_REMOUNT | _MS_BIND | (flags & ~_MS_RDONLY) | read_only)


def _drop_privileges() -> None:
    """Of root too: whoever has its number has no capability from the next exec on, nor ever gets one."""
    capability = 0
    while _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if ctypes.get_errno() != errno.EINVAL:  # beyond the last one that this kernel knows
        _call("capabilities", -1)
    _call("no_new_privs", _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    texts = (os.fsencode(each) or None for each in (source, target, kind))
    _call(target, _LIBC.mount(*texts, ctypes.c_ulong(flags), os.fsencode(data) or None))


def _call(subject: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)


if __name__ == "__main__":
    main()
