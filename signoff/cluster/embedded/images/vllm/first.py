"""What vLLM finds out about a model's class by starting another Python, at each start that does not know it yet.

It keeps that in `modelinfos` of its cache. The class is that of the story's model and of the stand-in's.
"""

from vllm.model_executor.models.registry import ModelRegistry  # type: ignore[import-not-found]

ModelRegistry.models["Qwen2ForCausalLM"].inspect_model_cls()
