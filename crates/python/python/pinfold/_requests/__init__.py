"""What `pinfold.requests` is made of."""
