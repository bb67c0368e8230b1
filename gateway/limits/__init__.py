"""How much of the gateway one tenant may take, and how much all of them together."""
