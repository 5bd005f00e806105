"""People's own manifests are found out, and what cannot be done with them is refused, before anything starts."""

import re
import shutil
from pathlib import Path

import pytest

from signoff.core.errors import UsageError
from signoff.gateway.key import keys_of
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import containers, pod_spec
from signoff.traffic.keys import NO_KEY
from tests.labs.expected import EXPECTED
from tests.labs.lab import HERE, LABS, SETTINGS, Edit, chosen, copied, line_of

pytestmark = pytest.mark.usefixtures("nothing_set")
MAX_LINES = 10


def test_each_set_has_an_expectation() -> None:
    assert set(LABS) == set(EXPECTED)


@pytest.mark.parametrize("lab", LABS)
def test_its_settings_are_short(lab: str) -> None:
    assert len((HERE / lab / SETTINGS).read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("lab", LABS)
def test_who_is_who_is_found(lab: str) -> None:
    found, expected = chosen(HERE / lab).manifests, EXPECTED[lab]
    assert found.roles.gateway == expected.gateway
    assert found.roles.config == expected.config
    assert found.roles.model.asked == expected.asked
    assert found.roles.backend.service == expected.backend_service
    assert (keys_of(found).gateway != NO_KEY) is expected.has_key


def manifests(lab: str) -> StoryManifests:
    return chosen(HERE / lab).manifests


@pytest.mark.parametrize("lab", LABS)
def test_a_second_gateway_shares_no_label_and_no_port_of_the_node_with_the_first(lab: str) -> None:
    first, (workload, objects) = manifests(lab), manifests(lab).second_gateway("second", lambda _: None)
    labels = {
        name: next(each for each in several if each.name == name).body["spec"]["template"]["metadata"]["labels"]
        for name, several in ((first.roles.gateway.object, first.gateway), (workload.object, objects))
    }
    assert not first.roles.gateway.selector.items() <= labels[workload.object].items()
    assert not workload.selector.items() <= labels[first.roles.gateway.object].items()
    assert {each.name for each in objects}.isdisjoint(each.name for each in first.gateway)
    ports = [port for each in objects for one in containers(each.body) for port in one.get("ports", [])]
    assert ports and not any("hostPort" in port for port in ports)
    services = [each.body["spec"] for each in objects if each.body["kind"] == "Service"]
    assert not any("nodePort" in port for each in services for port in each["ports"])


@pytest.mark.parametrize("lab", [lab for lab in LABS if list((HERE / lab).glob("*.env"))])
def test_a_secret_that_is_not_given_is_asked_for_with_the_way_to_give_it(lab: str, tmp_path: Path) -> None:
    folder = copied(lab, tmp_path)
    settings = folder / SETTINGS
    given = re.search(r"^secrets\.(\S+) = .*\n", settings.read_text(), re.MULTILINE)
    assert given
    settings.write_text(settings.read_text().replace(given[0], ""))
    with pytest.raises(UsageError, match=f"^Secret/{given[1]} is not among the manifests") as refused:
        chosen(folder)
    file, _, line = refused.value.where.rpartition(":")
    assert given[1] in Path(file).read_text().splitlines()[int(line) - 1]
    assert f"--secret {given[1]}=FILE.env" in refused.value.hint


def test_of_a_secret_that_another_program_would_make_that_is_said() -> None:
    folder = HERE / "one_file"
    with pytest.raises(UsageError, match="ExternalSecret/switchboard-env makes it only where its controller runs"):
        StoryManifests.read(chosen(folder).settings.model_copy(update={"secrets": {}}))


def test_a_fallback_to_no_model_is_told_in_the_run(tmp_path: Path) -> None:
    edit = Edit("gateway/configmap.yaml", "house-model: [pocket]", "house-model: [pockte]")
    found = chosen(copied("home_lab", tmp_path, [edit])).manifests
    (note,) = found.notes
    assert note.startswith(
        "a fallback leads to pockte, and no model of LiteLLM's is called so (gateway/configmap.yaml:"
    )
    assert chosen(HERE / "home_lab").manifests.notes == ()
    assert [each.asked for each in found.roles.unproven] == ["pocket"]


def test_what_helm_alone_runs_is_left_out() -> None:
    found = manifests("chart")
    out = [each.manifest.name for each in found.left_out]
    assert out == ["Job/front-litellm-migrations", "Pod/front-litellm-test-connection"]
    assert not set(out) & {each.name for each in (*found.gateway, *found.backend)}
    assert "busybox" not in found.images


def test_a_hook_that_runs_nothing_is_applied(tmp_path: Path) -> None:
    folder = copied("chart", tmp_path)
    rendered = folder / "rendered.yaml"
    annotated = "name: front-litellm-masterkey\n  annotations: {helm.sh/hook: pre-install}\n  namespace"
    rendered.write_text(rendered.read_text().replace("name: front-litellm-masterkey\n  namespace", annotated))
    assert "Secret/front-litellm-masterkey" in {each.name for each in chosen(folder).manifests.gateway}


def test_a_gpus_vllm_is_not_started_where_another_stands_in() -> None:
    found = manifests("home_lab")
    assert [each.name for each in found.backend if pod_spec(each.body)] == ["Deployment/vllm"]
    assert not any("PodDisruptionBudget" in each.name for each in (*found.backend, *found.gateway))


def test_an_image_is_refused_with_the_line_that_names_it(tmp_path: Path) -> None:
    folder = copied("nulls", tmp_path)
    file = folder / "all.yaml"
    file.write_text(file.read_text().replace("ghcr.io/berriai/litellm-non_root", "registry.example/litellm"))
    with pytest.raises(UsageError, match=r"no recipe for image registry\.example/litellm") as refused:
        chosen(folder)
    assert refused.value.where == line_of(file, "registry.example")


def test_the_sets_are_as_they_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """Nothing hangs on where this checkout is."""
    folder = Path(shutil.copytree(HERE / "home_lab", tmp_path / "Über uns" / "k8s, old"))
    assert chosen(folder).manifests.roles.gateway == EXPECTED["home_lab"].gateway
