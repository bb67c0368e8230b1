"""Trains the guard model: sources, cleaning, synthesis, training, calibration, export, model card.

Nothing of this is imported by the service; it has an extra of its own.
"""
