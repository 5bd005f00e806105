@task_2 @task_3
Feature: Configure LiteLLM as the story has it
  What is written in the manifests is what runs

  Background:
    Given the namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests

  @needs-files
  Scenario: The manifests lie where the story lists them
    Then the manifests lie in the files that the story lists

  Scenario: LiteLLM is configured for vLLM
    Then LiteLLM's configuration is the story's
    And LiteLLM says that the mode of the story's model is chat

  Scenario: The version that runs is the one that was deployed
    Then the version that runs is the one that was deployed
