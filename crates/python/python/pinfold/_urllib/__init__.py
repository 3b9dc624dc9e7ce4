"""What `pinfold.urllib` is made of."""
