@AC3
Feature: Answer in the form that vLLM answers in
  The response format is compared with vLLM's direct response, call by call; signoff/parity/gate.yaml lists what counts

  Background:
    Given the namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests

  Scenario: The response format matches vLLM's
    When I send these calls to vLLM twice and to LiteLLM
      | call                    | mode     |
      | chat.plain              | plain    |
      | chat.plain              | streamed |
      | chat.multi-turn         | plain    |
      | chat.stop               | streamed |
      | chat.max-tokens         | plain    |
      | chat.logit-bias         | plain    |
      | chat.content-parts      | plain    |
      | chat.n                  | plain    |
      | chat.no-usage           | streamed |
      | completions.text        | plain    |
      | completions.stop        | plain    |
      | models.list             | plain    |
      | errors.out-of-range     | plain    |
      | errors.context-too-long | streamed |
    Then no difference fails the parity gate
    And vLLM exercised every call

  @needs-deploy
  Scenario: Requests arrive as they were sent, and a broken answer never looks whole
    Given a second LiteLLM with a recorder between it and vLLM
    When I send these calls to vLLM twice and to LiteLLM
      | call                            | mode     |
      | chat.sampling-vllm              | plain    |
      | chat.system                     | streamed |
      | completions.several-prompts     | plain    |
      | faults.die-in-stream            | streamed |
      | faults.die-in-completion-stream | streamed |
      | faults.status-404               | plain    |
    Then no difference of the recorded calls fails the parity gate
    And vLLM exercised every call
    When I ask the recorder and that LiteLLM for a stream with 20 ms between its events
    Then its tokens arrive one by one through LiteLLM
