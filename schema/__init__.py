"""What clients see: views of domain values and inputs; no I/O, no decisions."""
