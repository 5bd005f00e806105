@notes
Feature: Notice the two mistakes of the first deployment
  Each has a LiteLLM of its own beside the one under test, with the mistake put back into its configuration

  Background:
    Given the namespace exists with vLLM deployment running

  @needs-deploy
  Scenario: A model name that vLLM does not serve
    Given a LiteLLM whose backend model is qwen2.5:14b
    When I send a chat completion to that LiteLLM
    Then the answer is an OpenAI error that names qwen2.5:14b

  @needs-deploy
  Scenario: A missing api_key
    Given a LiteLLM with the openai/ prefix and no api_key
    When I send a chat completion to that LiteLLM
    Then the answer is an OpenAI error that names api_key
    And nothing has reached vLLM
