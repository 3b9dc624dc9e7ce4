"""What `pinfold.urllib3` is made of; `pinfold.requests` stands on it."""
