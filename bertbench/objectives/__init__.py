"""What an encoder is pretrained to do: one loss a file."""
