"""What tests stand on: the lab, a server, names and files."""
