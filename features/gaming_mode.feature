@notes
Feature: Stay available during Gaming Mode
  The GPU worker scales vLLM to 0; LiteLLM stays, says what is wrong, and serves again afterwards

  Background:
    Given the namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests

  @needs-scale-backend
  Scenario: LiteLLM outlives its backend
    When vLLM is scaled to 0
    Then LiteLLM stays Ready for 20 seconds
    And LiteLLM answers a chat completion with an OpenAI error within 30 seconds
    When vLLM is scaled back
    Then LiteLLM serves chat completions again
