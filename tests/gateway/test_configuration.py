"""What LiteLLM's configuration says is found with its lines, and what it doesn't say has no value."""

import pytest

from signoff.gateway.configuration import Configuration, read

CONFIG = """\
model_list:
  - model_name: qwen
    litellm_params:
      model: openai/org/qwen
      api_base: http://vllm/v1
  - model_name: other
router_settings:
  num_retries: 3
"""


def test_each_setting_has_its_values_and_the_line_of_the_first() -> None:
    found = read(CONFIG)
    assert found.values == {
        "model_name": ["qwen", "other"],
        "model": ["org/qwen"],
        "api_base": ["http://vllm/v1"],
        "num_retries": [3],
        "routing_strategy": ["simple-shuffle"],
        "timeout": [6000],
    }
    assert {name: found.lines[name] for name in found.values} == {
        "model_name": 2,
        "model": 4,
        "api_base": 5,
        "num_retries": 8,
        "routing_strategy": 7,
        "timeout": 7,
    }


def test_of_several_models_the_one_that_clients_ask_for_counts() -> None:
    assert read(CONFIG, "other").values == {
        "model_name": ["other"],
        "num_retries": [3],
        "routing_strategy": ["simple-shuffle"],
        "timeout": [6000],
    }
    assert read(CONFIG, "qwen").lines["api_base"] == 5
    assert read(CONFIG, "missing").values["model_name"] == ["qwen", "other"]


@pytest.mark.parametrize(
    ("settings", "retries", "timeout", "lines"),
    [
        ("litellm_settings:\n  num_retries: 5\n  request_timeout: 60\n", 5, 60, (3, 4)),
        ("router_settings:\n  num_retries: 0\n  timeout: 30\nlitellm_settings: {num_retries: 5}\n", 0, 30, (3, 4)),
        ("router_settings:\n  timeout: 0\nlitellm_settings:\n  request_timeout: 60\n", 2, 60, (2, 5)),
        ("router_settings:\n  num_retries:\nlitellm_settings:\n  num_retries: 1\n", 1, 6000, (5, 2)),
        ("router_settings: text\nlitellm_settings: [text]\n", 2, 6000, (2, 2)),
    ],
)
def test_what_the_router_is_not_told_it_takes_from_litellms_settings(
    settings: str, retries: int, timeout: int, lines: tuple[int, int]
) -> None:
    found = read(
        f"model_list: [{{model_name: a, litellm_params: {{model: b, timeout: 90, num_retries: 9}}}}]\n{settings}"
    )
    assert (found.values["num_retries"], found.values["timeout"]) == ([retries], [timeout])
    assert (found.lines["num_retries"], found.lines["timeout"]) == lines


@pytest.mark.parametrize("text", ["", "[]", "model_list: 7", "a: [", "model_list: [text]"])
def test_a_configuration_of_another_form_has_no_values(text: str) -> None:
    assert read(text).values == Configuration().values
