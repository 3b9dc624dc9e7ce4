"""What `pinfold.aiohttp` is made of."""
