@AC2
Feature: Proxy requests to vLLM
  LiteLLM is configured to use vLLM as the primary model backend

  Background:
    Given the namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests

  Scenario: Each chat completion reaches vLLM once
    When I send 10 chat completions to LiteLLM for each of its models
    Then the counter of each model's own vLLM has grown by exactly as many requests

  Scenario Outline: Answers are in OpenAI API format
    When I send a <kind> chat completion to LiteLLM
    Then the answer is in OpenAI API format

    Examples:
      | kind     |
      | plain    |
      | streamed |

  Scenario Outline: The official client reads the same
    When the official OpenAI client asks vLLM and LiteLLM for a <kind> chat completion
    Then it reads the same from both

    Examples:
      | kind     |
      | plain    |
      | streamed |
