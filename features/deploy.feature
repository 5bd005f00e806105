@AC1
Feature: Deploy LiteLLM via Kubernetes manifests
  As a cluster operator
  I want to deploy LiteLLM proxy with vLLM as the primary backend
  So that I have a unified OpenAI-compatible endpoint for all AI inference requests

  Background:
    Given the namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests

  Scenario: The LiteLLM pod starts
    Then the LiteLLM pod is Running and Ready in its namespace
    And no probe asks a model, and none ends LiteLLM while it starts

  Scenario: LiteLLM carries the standard labels
    Then all objects of LiteLLM carry the standard labels

  Scenario: LiteLLM is reached by a Service
    Then LiteLLM's Service is of the type and on the port of the story
    And LiteLLM's Service sends to every Ready LiteLLM pod

  Scenario: LiteLLM lists the model of its configuration
    When I ask LiteLLM for its models
    Then the answer is an OpenAI model list with the model of the story

  Scenario: LiteLLM answers a chat completion
    When I send a chat completion to LiteLLM
    Then the answer has status 200 and some text

  @needs-job
  Scenario: The endpoint answers inside the cluster
    Then the endpoint answers by its cluster name from inside a pod
