"""The programs that run in pods, from an image that has Python and little else: no numpy, pandas or pydantic.

`time_pairs` times requests from inside, `recorder` stands between LiteLLM and vLLM, `load_generator` is what
bench/locustfile.py is made of. `signoff.kube.shipping` reads off their imports what goes along.
"""
