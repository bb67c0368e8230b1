"""One record a decision: who, under which policy, what was found, what was done. No content."""
