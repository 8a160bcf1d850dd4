"""What runs on a node, as it stands in its user data."""
