"""One text under one policy, up to its verdict, and who else looks at it afterwards."""
