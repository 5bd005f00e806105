@notes
Feature: Keep LiteLLM off the GPU worker
  LiteLLM is a lightweight proxy: it needs no GPU, and must not take the place of what does

  Background:
    Given the ml namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests

  Scenario: LiteLLM runs on a worker without a GPU
    Then every LiteLLM pod runs on one of these nodes
      | node          |
      | k3s-worker-01 |
      | k3s-worker-02 |

  Scenario: The GPU is vLLM's alone
    Then LiteLLM asks for no GPU
    And vLLM runs on k3s-gpu-worker

  @needs-cordon
  Scenario: LiteLLM waits rather than run on the GPU worker
    When the nodes k3s-worker-01 and k3s-worker-02 are cordoned
    And LiteLLM is scaled up by one replica
    Then the new LiteLLM pod stays Pending and the scheduler says that no node matches
    And no LiteLLM pod runs on k3s-gpu-worker
