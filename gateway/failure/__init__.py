"""What the gateway does when something behind it fails. Each part wraps a guard or a model."""
