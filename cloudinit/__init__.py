"""What a node gets at its first boot: plain functions from a frozen `NodeSpec` to user data."""
