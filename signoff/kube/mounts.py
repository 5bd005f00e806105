"""Which key of a ConfigMap is which file of a container, and which of them LiteLLM is told to read."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from signoff.kube.objects import Manifest, pod_spec
from signoff.kube.variables import NOTHING_SET, Environment, Variable, expanded

_PROGRAM = "litellm"
_PATH_VARIABLE = "CONFIG_FILE_PATH"
_WORKS_IN = PurePosixPath("/app")
"""Where LiteLLM's images start it (litellm: Dockerfile)."""
_SHELLS = ("sh", "bash", "ash", "dash", "zsh")
_REDIRECTS = "<>"
_PUNCTUATION = f";&|()\n{_REDIRECTS}"
"""Of a shell: all but redirects end a command."""
_OF_SHELL = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


@dataclass(frozen=True)
class ConfigFile:
    """A key of a ConfigMap."""

    config_map: str
    key: str

    @property
    def object(self) -> str:
        """Kind and name, as `Manifest.name` has them."""
        return f"ConfigMap/{self.config_map}"


Files = Mapping[PurePosixPath, ConfigFile]


def files(
    workload: Manifest, container: Mapping[str, Any], found: Sequence[Manifest], known: Environment = NOTHING_SET
) -> Files:
    """The files of a container that are keys of ConfigMaps: of volumes, projected ones too, whole or in part.

    What is mounted deeper lies over what is mounted above it.
    """
    maps = {each.body["metadata"]["name"]: each.body for each in found if each.kind == "ConfigMap"}
    volumes = {each.get("name"): dict(_of_volume(each, maps)) for each in pod_spec(workload.body).get("volumes", [])}
    seen: dict[PurePosixPath, ConfigFile] = {}
    for at, mount in sorted(_mounts(container), key=lambda each: len(each[0].parts)):
        seen = {path: file for path, file in seen.items() if at not in (path, *path.parents)}
        part = mount.get("subPath") or expanded(mount.get("subPathExpr", ""), known.variables) or ""
        for path, file in volumes.get(mount.get("name"), {}).items():
            if path.is_relative_to(part):
                seen[at / path.relative_to(part)] = file
    return seen


def secret_at(workload: Manifest, container: Mapping[str, Any], path: PurePosixPath) -> str:
    """The name of the Secret out of which a file of a container comes; empty where it comes from elsewhere."""
    volumes = {each.get("name"): each for each in pod_spec(workload.body).get("volumes", [])}
    over = [(at, mount) for at, mount in _mounts(container) if at in (path, *path.parents)]
    _, mount = max(over, key=lambda each: len(each[0].parts), default=(path, {}))
    volume = volumes.get(mount.get("name"), {})
    whole = (volume.get("secret") or {}).get("secretName")
    parts = (volume.get("projected") or {}).get("sources", [])
    several = (
        [] if any("configMap" in each for each in parts) else [each["secret"] for each in parts if "secret" in each]
    )
    return str(whole or next((each.get("name") for each in several), ""))


def _mounts(container: Mapping[str, Any]) -> Iterator[tuple[PurePosixPath, dict[str, Any]]]:
    for mount in container.get("volumeMounts", []):
        yield PurePosixPath(mount.get("mountPath", "")), mount


def _of_volume(volume: Mapping[str, Any], maps: Mapping[str, Any]) -> Iterator[tuple[PurePosixPath, ConfigFile]]:
    """The paths within a volume; a key that `items` names and the ConfigMap lacks is there as well."""
    projected = (volume.get("projected") or {}).get("sources", [])
    for source in (volume, *projected):
        if wanted := source.get("configMap"):
            name = wanted.get("name", "")
            body = maps.get(name, {})
            keys = [*body.get("data", {}), *body.get("binaryData", {})]
            for item in wanted.get("items") or [{"key": key, "path": key} for key in keys]:
                yield PurePosixPath(item["path"]), ConfigFile(name, item["key"])


def config_path(container: Mapping[str, Any], known: Environment) -> PurePosixPath | None:
    """The file that LiteLLM reads in this container; None where nothing names one, or nobody can tell.

    A variable counts before the option (litellm 1.80.16: proxy/proxy_server.py, proxy_startup_event). An option is
    looked for in whatever way it may be written: as two words, as one, or within a shell's line.
    """
    told = known.get(_PATH_VARIABLE)
    named = told.value if told else _option([*container.get("command", []), *container.get("args", [])], known)
    within = PurePosixPath(container.get("workingDir") or _WORKS_IN)
    return within / named if named else None  # an absolute path stays what it is


def _option(words: Sequence[str], known: Environment) -> str:
    """What the last `--config` or `-c` says, as click takes it; empty if there is none."""
    found = ""
    for word, after in pairwise([*_arguments(words, known), ""]):
        option, _, value = word.partition("=")
        if option == "--config" or word == "-c":
            found = value or after
        elif word.startswith("-c") and not word.startswith("--"):
            found = word.removeprefix("-c").removeprefix("=")
    return found


def _arguments(words: Sequence[str], known: Environment) -> list[str]:
    """LiteLLM's own arguments: of a shell's line the words behind `litellm`, else all."""
    told = [expanded(each, known.variables) or each for each in words]
    line = _line_of_shell(told)
    if line is None:
        return told
    commands = [each for each in _commands(line, known.variables) if any(_is_program(word) for word in each)]
    own = commands[-1] if commands else []
    starts = next((at for at, word in enumerate(own) if _is_program(word)), 0)
    return own[starts + 1 :]


def _is_program(word: str) -> bool:
    return PurePosixPath(word).name == _PROGRAM


def _line_of_shell(words: Sequence[str]) -> str | None:
    """The script in `sh -c SCRIPT`, whatever other letters stand beside the c, and whatever starts the shell."""
    shell = next((at for at, word in enumerate(words) if PurePosixPath(word).name in _SHELLS), None)
    for word, after in pairwise(words[shell:] if shell is not None else ()):
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            return after
    return None


def _commands(line: str, variables: Mapping[str, Variable]) -> Iterator[list[str]]:
    """The commands of a shell's line, each with its words; of one that is not well quoted, its words as they are."""
    lexer = shlex.shlex(_of_shell(line.replace("\\\n", " "), variables), posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace_split, lexer.whitespace = True, " \t\r"
    try:
        words = list(lexer)
    except ValueError:
        words = line.split()
    command: list[str] = []
    for word in [*words, ";"]:
        if not set(word) <= set(_PUNCTUATION):
            command.append(word)
        elif not set(word) & set(_REDIRECTS):
            yield command
            command = []


def _of_shell(line: str, variables: Mapping[str, Variable]) -> str:
    """A shell's line with what it makes of `$NAME` and `${NAME}`, where that is known."""
    return _OF_SHELL.sub(lambda found: _value(variables.get(found[1] or found[2])) or found[0], line)


def _value(variable: Variable | None) -> str | None:
    return variable.value if variable else None
