"""What the guard tells of its work; no content, unless a developer asks for it."""
