"""compare: does it pay? Approaches against one another at growing numbers of labels, over several seeds."""
