"""What needs several stages at once: a scan opened and made ready, a folder reconstructed. Commands and `api` call it."""
