@AC3
Feature: Answer as vLLM does, and almost as fast
  LiteLLM is routing to vLLM, and a chat completion is sent to both

  Background:
    Given the namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests

  Scenario Outline: The answer matches the model output from vLLM
    When I send the same <kind> chat completions to vLLM twice and to LiteLLM
      | prompt                                   | ends by |
      | Name three rivers.                       | length  |
      | Wie heißt die Hauptstadt von Österreich? |         |
      | 東京は何の首都ですか? 🗼                   |         |
      | Write one line of Python.                | stop    |
    Then LiteLLM's text, finish_reason and usage equal vLLM's
    And the answers of vLLM differ from prompt to prompt
    And vLLM itself ended answers for each of these reasons
      | finish_reason |
      | length        |
      | stop          |

    Examples:
      | kind     |
      | plain    |
      | streamed |

  Scenario: The latency overhead is below its limit (NFR66)
    When I time interleaved pairs of direct and proxied chat completions
    Then the overhead is below its limit with 95 % confidence
