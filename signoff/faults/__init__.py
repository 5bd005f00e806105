"""Faults that scenarios inject into a cluster, and how they end: one table, `cluster.FAULTS`."""
