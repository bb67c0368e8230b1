"""Who calls, and what that lets them do. Nothing is allowed that a credential does not grant."""
