"""What was seen: observed matrices, where they come from, and which entries are held out."""
