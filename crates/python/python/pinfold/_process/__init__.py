"""What `pinfold.process` is made of."""
