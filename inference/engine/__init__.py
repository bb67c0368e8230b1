"""Requests in, one step at a time, tokens out; it knows no networks, threads or event loops."""
