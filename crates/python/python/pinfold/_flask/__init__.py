"""What `pinfold.flask` is made of."""
