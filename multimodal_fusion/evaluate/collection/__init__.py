"""Many bags, cut into stretches, measured by processes or a cluster, told in one table."""
