"""Training and test error of models, from deterministic equivalents."""
