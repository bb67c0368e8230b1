"""From a model's name to something the engine can run."""
