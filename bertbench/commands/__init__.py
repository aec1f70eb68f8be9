"""What the front door does besides running: one command a file."""
