"""Features: what a frozen backbone says about every sample, computed once and kept by content."""
