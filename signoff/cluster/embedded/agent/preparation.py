"""What comes before each start of a container: its image, its files, and its command line and environment."""

import asyncio
from dataclasses import dataclass, replace

from signoff.cluster.embedded.agent.access import api_variables, has_token, proxies, write_kubeconfig
from signoff.cluster.embedded.agent.backoff import BackOff
from signoff.cluster.embedded.agent.environment import check_user, environment
from signoff.cluster.embedded.agent.launch import fresh_folders, launch, own_paths, ports_of, words_of
from signoff.cluster.embedded.agent.process import Launch
from signoff.cluster.embedded.agent.runtime import Context
from signoff.cluster.embedded.agent.sources import Sources, fetch, of_environment, of_volumes
from signoff.cluster.embedded.agent.translation import Translation, hosts, service_names
from signoff.cluster.embedded.agent.view import view_of
from signoff.cluster.embedded.agent.volumes import link_claims, mount_paths, prepare_sub_paths, texts_of, write_volumes
from signoff.cluster.embedded.images import Image
from signoff.core.errors import SignoffError

_SERVICE_SECONDS = 5.0
"""A Service that a container names may be created just after its pod; for longer nobody waits."""
_HOST_SECONDS = 1.0
"""The same of a URL's host, which may as well be anything else."""
_ERROR_SECONDS = 1.0
"""How long ErrImagePull shows before ImagePullBackOff takes its place."""


@dataclass(frozen=True)
class Prepared:
    """A container that can be started: its process, and where the paths and names that its pod knows really are."""

    launch: Launch
    translate: Translation

    def command(self, words: list[str]) -> Launch:
        """Another command in the same container."""
        return Launch([self.translate(word) for word in words], self.launch.env, self.launch.cwd, view=self.launch.view)


async def pulled(context: Context) -> Image:
    """The image, once it could be had."""
    reference, pulls, back_off = context.spec["image"], context.runtime.pulls, BackOff()
    while True:
        at_hand = pulls.at_hand(reference)
        if not at_hand:
            context.event("Normal", "Pulling", f'Pulling image "{reference}"')
        try:
            image = await pulls.get(reference)
        except SignoffError as error:
            context.event("Warning", "Failed", f'Failed to pull image "{reference}": {error}')
            context.event("Warning", "Failed", "Error: ErrImagePull")
            context.wait_for("ErrImagePull", str(error))
            await asyncio.sleep(_ERROR_SECONDS)
            context.event("Normal", "BackOff", f'Back-off pulling image "{reference}"')
            context.event("Warning", "Failed", "Error: ImagePullBackOff")
            context.wait_for("ImagePullBackOff", f'Back-off pulling image "{reference}": {error}')
            await asyncio.sleep(back_off.next())
            continue
        present = f'Container image "{reference}" already present on machine'
        context.event("Normal", "Pulled", present if at_hand else f'Successfully pulled image "{reference}"')
        context.state.image_id = image.env_dir.name
        return image


async def prepared(context: Context, image: Image) -> Prepared:
    """Write the container's files and put its command line and environment together.

    Raises:
        ConfigError, MountError: what it refers to is not there.
        ApiError, aiohttp.ClientError, TimeoutError: the API server does not answer.
    """
    spec, facts, pod_spec, runtime = context.spec, context.facts, context.pod_spec, context.runtime
    pod_dir, own_dir = context.pod_dir, context.own_dir
    check_user(spec, facts.pod, image.recipe.user)
    namespace = facts.pod["metadata"]["namespace"]
    sources = await fetch(runtime.api, namespace, of_environment(spec) | of_volumes(pod_spec))
    sources |= await context.tokens.sources()
    links = runtime.services.links(namespace) if pod_spec.get("enableServiceLinks", True) else {}
    links |= api_variables(spec, runtime.server, namespaces=runtime.namespaces)
    variables = environment(spec, facts, sources, links)
    if image.recipe.dials_pods:
        variables = proxies(runtime.relay, variables) | variables
    paths = own_paths(spec, image, own_dir) | mount_paths(spec, pod_spec, pod_dir, own_dir, variables)
    await _wait_for_services(context, image, variables, sources)
    translate = Translation(paths, facts.address, runtime.services.addresses, namespace, ports_of(pod_spec))
    await asyncio.to_thread(fresh_folders, image, own_dir)
    await asyncio.to_thread(link_claims, facts.pod, pod_dir, runtime.cluster_dir)
    await refresh(context, sources, translate)
    prepare_sub_paths(spec, pod_spec, pod_dir, own_dir, variables)
    made = launch(spec, image, variables, translate, own_dir, facts.pod["metadata"]["name"])
    if has_token(spec) and not runtime.namespaces:
        write_kubeconfig(paths, runtime.server, namespace)
    if runtime.namespaces:
        made = replace(made, view=view_of(spec, pod_spec, image, paths, pod_dir, own_dir))
    return Prepared(made, translate)


async def refresh(context: Context, sources: Sources, translate: Translation) -> None:
    """Have the volumes show what ConfigMaps, Secrets and the pod itself say now; subPath mounts keep what they had.

    Raises:
        MountError: a volume cannot be set up; all stay as they are.
    """
    pod_dir, own_dir = context.pod_dir, context.own_dir
    await asyncio.to_thread(write_volumes, context.pod_spec, context.facts, sources, pod_dir, own_dir, translate)


async def _wait_for_services(context: Context, image: Image, variables: dict[str, str], sources: Sources) -> None:
    texts = [
        *words_of(context.spec, image, variables),
        *(f"{name}={value}" for name, value in variables.items()),
        *texts_of(context.pod_spec, context.facts, sources),
    ]
    services, namespace = context.runtime.services, context.facts.pod["metadata"]["namespace"]
    await services.missing({name for text in texts for name in hosts(text, namespace)}, _HOST_SECONDS)
    names = {name for text in texts for name in service_names(text)}
    for name in sorted(await services.missing(names, _SERVICE_SECONDS)):
        context.event("Warning", "UnknownService", f"there is no Service {name}; its name will not resolve")
