"""Text in pieces becomes released text and findings: nothing leaves before it has settled."""
