"""What an encoder sees and says, to look at: values in, plain data out, and text of it."""
