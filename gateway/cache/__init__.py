"""What need not be done twice. Everything cached belongs to one tenant."""
