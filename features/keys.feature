@notes
Feature: Answer nobody without the key
  Where LiteLLM has a key of its own, a request without it reaches no model

  Background:
    Given the namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests
    And LiteLLM asks for a key

  Scenario Outline: A chat completion is answered with LiteLLM's own key alone
    When I send a chat completion to LiteLLM with <key> key
    Then it is answered if the key is LiteLLM's own, and refused if not

    Examples:
      | key     |
      | its own |
      | a wrong |
      | no      |
