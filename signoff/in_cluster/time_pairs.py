"""`python3 -m signoff.traffic`: time the pairs and the blocks from where this runs, a pod say."""

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

from signoff.traffic.blocks import time_blocks
from signoff.traffic.counted import Counting
from signoff.traffic.endpoint import ROOTS, Endpoint
from signoff.traffic.keys import Keys
from signoff.traffic.pairs import failed, measure


def main() -> None:
    """Measure, and write a line of JSON for each request and block, and one for what vLLM counted, to standard
    output, which a pod's log keeps.

    The keys are those of the environment, and so are the roots that the ingress is trusted by.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--direct", required=True, help="vLLM's base URL")
    parser.add_argument("--proxied", required=True, help="LiteLLM's base URL")
    parser.add_argument("--ingress", default="", help="base URL of the way in to LiteLLM, if it is to be timed")
    parser.add_argument("--ingress-host", default="", help="the name that LiteLLM has there")
    parser.add_argument("--model", required=True, help="what vLLM is asked for")
    parser.add_argument("--asked-model", required=True, help="what LiteLLM is asked for")
    parser.add_argument("--pairs", type=int, required=True, help="at most so many")
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    keys, asked = Keys.from_environment(), {"pairs": options.pairs, "seed": options.seed}
    direct = Endpoint(options.direct, options.model, keys.backend)
    proxied = Endpoint(options.proxied, options.asked_model, keys.gateway)
    ingress = None
    if options.ingress:
        named = os.environ.get(ROOTS)
        roots = Path(named).read_text(encoding="utf-8") if named else ""
        ingress = replace(proxied, url=options.ingress, host=options.ingress_host, authorities=roots)
    timed = measure(direct, proxied, ingress=ingress, progress=print, **asked)
    counting = Counting(direct.url)
    taken = list(timed)  # written when all are taken
    counted = counting.over(sum(not timing.error for timing in taken))
    for timing in taken:
        print(json.dumps({"timing": asdict(timing)}))
    print(json.dumps({"counted": asdict(counted)}))
    if not failed(taken):
        for block in time_blocks(direct, proxied, **asked):
            print(json.dumps({"block": asdict(block)}))


if __name__ == "__main__":
    main()
