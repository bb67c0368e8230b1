"""The gateway: checks the prompt, asks the model, checks the answer. Thin on purpose."""
