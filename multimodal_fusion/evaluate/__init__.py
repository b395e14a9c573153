"""Quality and cost of fusion: metrics, data sets and bags, and a report."""
