"""What `pinfold.httpx` is made of."""
