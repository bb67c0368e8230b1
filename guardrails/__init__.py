"""The guard: text in, verdicts and safe text out."""
