"""What of an object's metadata others than its author keep there. Imports nothing: it is part of small programs."""

OF_THE_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
"""What the API server alone keeps in the metadata of each object."""
APPLIED, REVISION = "kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"
"""Annotations with which kubectl and a controller remember something; the first repeats the object, a Secret too."""
