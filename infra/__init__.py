"""What AWS gets: the network, the identity and the two nodes of a floating private IP."""
