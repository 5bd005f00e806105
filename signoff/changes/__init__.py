"""What a run may change on a person's cluster, written down before it is changed, and put back afterwards."""
