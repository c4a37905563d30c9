"""What draws: curves, pages."""
