"""Who asks, and which service answers; a few lines each."""
