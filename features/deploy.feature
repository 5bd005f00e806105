@AC1
Feature: Deploy LiteLLM via Kubernetes manifests
  As a cluster operator
  I want to deploy LiteLLM proxy with vLLM as the primary backend
  So that I have a unified OpenAI-compatible endpoint for all AI inference requests

  Background:
    Given the ml namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests

  Scenario: The LiteLLM pod starts in the ml namespace
    Then the LiteLLM pod is Running and Ready in the ml namespace

  Scenario: LiteLLM carries the standard labels
    Then the LiteLLM objects carry these labels
      | label                     | value    |
      | app.kubernetes.io/name    | litellm  |
      | app.kubernetes.io/part-of | home-lab |

  Scenario: LiteLLM is reached by a ClusterIP Service on port 4000
    Then the Service litellm is of type ClusterIP on port 4000
    And the Service litellm sends to every Ready LiteLLM pod

  Scenario: LiteLLM lists the model of its configuration
    When I ask LiteLLM for its models
    Then the answer is an OpenAI model list with the model of the story

  Scenario: LiteLLM answers a chat completion
    When I send a chat completion to LiteLLM
    Then the answer has status 200 and some text

  Scenario: The endpoint answers inside the cluster
    Then the endpoint answers by its cluster name from inside a pod
