@AC1 @task_4 @needs-way-in
Feature: Lead the way in from outside
  The story's host name leads by https through the ingress to LiteLLM, with a certificate that cert-manager obtained

  Background:
    Given the namespace exists with vLLM deployment running
    And LiteLLM is deployed via Kubernetes manifests
    And a route leads from the host name to LiteLLM

  Scenario: The host name leads to LiteLLM
    When I send a chat completion through the ingress
    Then LiteLLM answers under the host name

  Scenario Outline: An answer through the ingress is LiteLLM's own
    When I send the same <kind> chat completions to LiteLLM twice and through the ingress
      | prompt                                   |
      | Name three rivers.                       |
      | Wie heißt die Hauptstadt von Österreich? |
      | 東京は何の首都ですか? 🗼                   |
    Then the answers through the ingress equal LiteLLM's own

    Examples:
      | kind     |
      | plain    |
      | streamed |

  @needs-deploy
  Scenario: The events of a stream arrive one by one
    Given a recorder stands between the ingress and LiteLLM
    When I ask the recorder and the ingress for a stream with 100 ms between its events
    Then its events arrive one by one through the ingress

  @needs-deploy
  Scenario Outline: An answer that outlasts the time-outs of the ingress arrives whole
    Given a recorder stands between the ingress and LiteLLM
    When I ask through the ingress for a <kind> answer that takes longer than each of its time-outs
    Then the slow answer arrives whole

    Examples:
      | kind     |
      | plain    |
      | streamed |

  @needs-deploy
  Scenario: A prompt of 1 MB arrives whole
    Given a recorder stands between the ingress and LiteLLM
    When I send a prompt of 1 MB to LiteLLM and through the ingress
    Then all of the prompt arrives, and it is refused alike

  @needs-deploy
  Scenario: LiteLLM is told who asked
    Given a recorder stands between the ingress and LiteLLM
    When I ask through the ingress with forwarded headers that I made up
    Then LiteLLM is told who asked, and nothing that a client made up

  Scenario Outline: A chat completion through the ingress is answered with LiteLLM's own key alone
    Given LiteLLM asks for a key
    When I send a chat completion through the ingress with <key> key
    Then through the ingress it is answered if the key is LiteLLM's own, and refused if not

    Examples:
      | key     |
      | its own |
      | a wrong |
      | no      |

  Scenario Outline: Plain HTTP does not reach LiteLLM
    When I ask by plain HTTP for the <what>
    Then plain HTTP leads to https or nowhere

    Examples:
      | what   |
      | page   |
      | models |
      | chat   |

  Scenario Outline: An unknown host name does not reach LiteLLM
    When I ask for an unknown host name by <scheme>
    Then an unknown host name leads to the ingress' own 404

    Examples:
      | scheme |
      | https  |
      | http   |

  Scenario: The certificate is the one that cert-manager obtained by ACME
    When I look at the certificate of the host name
    Then it is the one that cert-manager obtained by ACME, and good for every client
