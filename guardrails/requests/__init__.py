"""What a call must be before anything is done for it."""
