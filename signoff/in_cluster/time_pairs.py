"""`python3 -m signoff.traffic`: time the pairs and the blocks from where this runs, a pod say."""

import argparse
import json
from dataclasses import asdict

from signoff.traffic.blocks import time_blocks
from signoff.traffic.keys import Keys
from signoff.traffic.pairs import failed, measure


def main() -> None:
    """Measure, and write a line of JSON for each request and block to standard output, which a pod's log keeps.

    The keys are those of the environment.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--direct", required=True, help="vLLM's base URL")
    parser.add_argument("--proxied", required=True, help="LiteLLM's base URL")
    parser.add_argument("--pairs", type=int, required=True, help="at most so many")
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    keys, asked = Keys.from_environment(), {"pairs": options.pairs, "seed": options.seed}
    timed = measure(options.direct, options.proxied, keys=keys, progress=print, **asked)
    taken = list(timed)  # written when all are taken
    for timing in taken:
        print(json.dumps({"timing": asdict(timing)}))
    if not failed(taken):
        for block in time_blocks(options.direct, options.proxied, keys=keys, **asked):
            print(json.dumps({"block": asdict(block)}))


if __name__ == "__main__":
    main()
