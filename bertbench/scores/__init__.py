"""Labels and predictions of one kind of task in, one number out; pure functions, no torch."""
