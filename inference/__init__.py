"""The model: prompts in, tokens out, nothing judged."""
