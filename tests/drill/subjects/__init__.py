"""What `make bench` compares."""
