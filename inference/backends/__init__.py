"""What computes a step: runners, each for some models on some devices."""
