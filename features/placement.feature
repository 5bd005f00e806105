@notes
Feature: Keep LiteLLM off the GPU worker
  LiteLLM is a lightweight proxy: it needs no GPU, and must not take the place of what does

  Background:
    Given the namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests

  Scenario: LiteLLM runs on a worker without a GPU
    Then every LiteLLM pod runs on an allowed node

  Scenario: The GPU is vLLM's alone
    Then LiteLLM asks for no GPU
    And vLLM runs on the GPU worker

  @needs-new-nodes
  Scenario: A rule keeps LiteLLM off other nodes, not luck
    When a plain worker and another GPU worker join the cluster
    Then the scheduler accepts LiteLLM on no forbidden node

  @needs-cordon
  Scenario: LiteLLM waits rather than run on the GPU worker
    When the allowed nodes are cordoned
    And LiteLLM is scaled up by one replica
    Then the new LiteLLM pod stays Pending and the scheduler says that no node matches
    And no LiteLLM pod runs on the GPU worker
    And the scheduler accepts LiteLLM on no forbidden node
